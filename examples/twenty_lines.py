import asyncio

import tidemark

SOURCE = """
tide, mark = await asyncio.gather(tools.depth(place="pier"), tools.depth(place="buoy"))
text("the water is", tide + mark, "m deep, all told")
exit(tide + mark)
"""


async def depth(place: str) -> int:
    """Metres of water at a place."""
    await asyncio.sleep({"pier": 0.1, "buoy": 0.3}[place])
    return len(place) * 2


async def main() -> None:
    async with tidemark.AsyncSession(tools=[depth]) as session:
        cell = await session.create_pausable_cell(SOURCE)
        while isinstance(event := await cell.wait_to_pending(), tidemark.Pending):
            print("generation", event.generation, "waits on", [c.id for c in event.tool_calls])
            print(await cell.resume(event.generation))
        print(event.output[0].text, event.value)


asyncio.run(main())
