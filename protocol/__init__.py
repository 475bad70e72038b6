"""What may cross a process boundary: ids, limits, plain data, messages, and the codec.

Pure: it imports the standard library and msgpack, and nothing else of Tidemark.
"""
