"""The example of the README. It keeps its data under KWAAINET_HOME or ~/.kwaainet."""

# anchor: readme
import asyncio
from kwaainet import Node

async def main():
    async with Node.start() as node:
        rag = await node.rag("handbook")
        async for event in rag.ingest("docs"):
            print(event)
        answer = await rag.ask("At which score does a peer become Trusted?").done()
        print(answer.text, answer.citations)

asyncio.run(main())
# end: readme
