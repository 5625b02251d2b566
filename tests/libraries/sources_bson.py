"""bson: ids of documents, and pymongo's sessions."""

import bson
import pymongo

client = pymongo.MongoClient("127.0.0.1", 9, connect=False, serverSelectionTimeoutMS=1)
pool = client._topology._session_pool


def session():
    """As an operation takes one and gives it back."""
    taken = pool.get_server_session(30)
    pool.return_server_session(taken)
    return taken.session_id["id"].hex()


def sources():
    return {
        "ObjectId": lambda: str(bson.ObjectId())[8:],
        "ObjectId process": lambda: str(bson.ObjectId())[8:18],
        "ObjectId counter": lambda: str(bson.ObjectId())[18:],
        "session id": session,
    }
