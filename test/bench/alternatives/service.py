"""service.py: a prediction service as it is usually built: FastAPI, PyTorch, and SQLite, which keeps each prediction.

    DATABASE=FILE uvicorn service:app
"""
import json
import os
import sqlite3

from fastapi import FastAPI, Request

from digits import Reader

reader = Reader()
database = sqlite3.connect(os.environ["DATABASE"])
# What is durable at the lowest price, as synchronous_commit is on the other side.
database.execute("PRAGMA journal_mode = WAL")
database.execute("PRAGMA synchronous = FULL")
database.execute("""CREATE TABLE IF NOT EXISTS prediction (id integer PRIMARY KEY, image blob NOT NULL, label integer NOT NULL,
    confidence real NOT NULL, probabilities text NOT NULL, created_at text NOT NULL DEFAULT current_timestamp)""")
app = FastAPI()


@app.post("/predict")
async def predict(request: Request):
    image = await request.body()
    probabilities = reader.probabilities(image)
    confidence = max(probabilities)
    label = probabilities.index(confidence)
    cursor = database.execute("INSERT INTO prediction (image, label, confidence, probabilities) VALUES (?, ?, ?, ?)",
                              (image, label, confidence, json.dumps(probabilities)))
    database.commit()
    return {"id": cursor.lastrowid, "label": label, "confidence": confidence, "probabilities": probabilities}
