/** A knowledge base in a worker thread: the main thread asks and stays free. Run it with the question as its argument. */

import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';

import { Rag } from 'kwaainet';

/** Asks a question about a document in a worker, which ends with it. */
export async function ask(dir: string, text: string, question: string): Promise<string> {
  const worker = new Worker(fileURLToPath(import.meta.url), { workerData: { dir, text, question } });
  const [answer] = (await once(worker, 'message')) as [string];
  await once(worker, 'exit');
  return answer;
}

if (!isMainThread) {
  const { dir, text, question } = workerData as { dir: string; text: string; question: string };
  await using rag = await Rag.open(dir, { embedder: 'none' });
  await rag.ingest(Buffer.from(text), { name: 'note.txt' }).done();
  parentPort?.postMessage((await rag.ask(question).done()).text);
}
