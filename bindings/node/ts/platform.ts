/** Which native module this machine needs. */

/** The platforms that have a package with the native module. */
export const SUPPORTED = ['linux-x64-gnu', 'linux-arm64-gnu', 'darwin-x64', 'darwin-arm64', 'win32-x64-msvc'];

/** The platform as the names of the platform packages have it. */
export function platform(): string {
  const here = `${process.platform}-${process.arch}`;
  if (process.platform === 'win32') return `${here}-msvc`;
  if (process.platform !== 'linux') return here;
  const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } };
  return `${here}-${header.glibcVersionRuntime === undefined ? 'musl' : 'gnu'}`;
}
