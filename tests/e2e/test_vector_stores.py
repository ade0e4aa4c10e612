"""Five documents in five kinds, read, embedded by MiniLM and found by questions that share few words with them."""

from __future__ import annotations

import json
import time

from tests.documents.test_reading import docx, pdf
from tests.live import Live

FILES = {
    "leave.md": b"# Holidays\n\nEvery employee has thirty days of paid leave in a year, and carries five of them over.",
    "coffee.html": b"<h1>Coffee machine</h1><p>Descale the espresso maker monthly with citric acid.</p>",
    "planes.csv": b"aircraft,seats,range\nA320,180,6100 km\nA350,325,15000 km\n",
    "contract.json": json.dumps(
        {"party": "Acme", "clause": "Either side may terminate with 90 days notice."}
    ).encode(),
    "garden.pdf": pdf(b"Water the tomatoes at the roots early in the morning, never on the leaves."),
    "letter.docx": docx(),
}
QUESTIONS = {
    "How much vacation do I get?": "leave.md",
    "How do I clean the machine that brews my drink?": "coffee.html",
    "Which jet can fly the farthest?": "planes.csv",
    "How can the agreement be ended?": "contract.json",
    "When should I irrigate my vegetables?": "garden.pdf",
}


def test_a_question_finds_the_right_file(live: Live) -> None:
    with live.openai(_strict_response_validation=True) as client:
        ids = {
            client.files.create(file=(name, content), purpose="assistants").id: name
            for name, content in FILES.items()
        }
        store = client.vector_stores.create(name="desk", file_ids=list(ids))
        deadline = time.monotonic() + 60
        while (store := client.vector_stores.retrieve(store.id)).status == "in_progress":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert store.file_counts.completed == len(FILES), list(client.vector_stores.files.list(store.id))
        for question, name in QUESTIONS.items():
            for ranker in ("auto", "none"):
                found = client.vector_stores.search(
                    store.id, query=question, max_num_results=3, ranking_options={"ranker": ranker}
                )
                assert found.data[0].filename == name, (question, ranker, found.data)
                assert ids[found.data[0].file_id] == name
        assert client.vector_stores.delete(store.id).deleted
        for id in ids:
            client.files.delete(id)
