/**
 * Questions about a folder of documents over HTTP, cited as they are written:
 *
 *     node server.mjs docs
 *     curl 'localhost:8080/ask?q=At+which+score+does+a+peer+become+Trusted'
 */

import { createServer, type Server } from 'node:http';

import { KwaaiError, Rag } from 'kwaainet';

/** A server over a knowledge base. A client that goes away cancels its answer. */
export function serve(rag: Rag): Server {
  return createServer(async (request, response) => {
    const gone = new AbortController();
    response.on('close', () => gone.abort());
    try {
      const question = new URL(request.url ?? '/', 'http://localhost').searchParams.get('q') ?? '';
      for await (const event of rag.ask(question, { signal: gone.signal })) {
        if (event.kind === 'text') response.write(event.text);
        if (event.kind === 'done') {
          const sources = event.answer.citations.map(({ number, document }) => `[${number}] ${document}\n`);
          response.end(`\n${sources.join('')}`);
        }
      }
    } catch (error) {
      if (gone.signal.aborted) return;
      if (!response.headersSent) response.writeHead(error instanceof KwaaiError && error.code === 'invalid_argument' ? 400 : 500);
      response.end(error instanceof Error ? `${error.message}\n` : undefined);
    }
  });
}

const [folder, dir = 'knowledge'] = process.argv.slice(2);
if (folder !== undefined) {
  const rag = await Rag.open(dir);
  console.log(await rag.ingest(folder).done());
  serve(rag).listen(8080, () => console.log('http://localhost:8080/ask?q=…'));
}
