"""The process that gets killed: swaps one collection again and again and says on stdout how far it is.

``python -m tests.store.conformance.writing STORE_URL STATE_URL``; each line is on its way before the next step begins.
"""

from __future__ import annotations

import sys
from itertools import count

from hubkernel.store import StoreError, open_state, open_store

DOCUMENTS = 1500


def documents(round_: int) -> list[dict[str, object]]:
    """One in ten differs from round to round."""
    return [
        {"_id": f"{number:05}", "pad": "." * 200, **({"round": round_} if number % 10 == 0 else {})}
        for number in range(DOCUMENTS)
    ]


def say(*words: object) -> None:
    print(*words, flush=True)


def main(store_url: str, state_url: str) -> None:
    store, state = open_store(store_url), open_state(state_url)
    for round_ in count():
        writer = store.writer(base="live")
        say("writing", round_, writer.token)
        with writer.part() as part:
            part.write(documents(round_)[:1000])
            part.flush()
            say("flushed", round_)
            part.write(documents(round_)[1000:])
        say("sealing", round_)
        writer.seal()
        say("committing", round_)
        writer.commit("live", archive=f"old{round_:03}" if round_ % 3 == 0 else None)
        say("committed", round_)
        state["jobs"].insert_one({"_id": round_})
        state["jobs"].update_one({"_id": round_}, {"$set": {"done": True}})
        say("noted", round_)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except StoreError as error:
        say("lost", error)
