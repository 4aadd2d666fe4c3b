"""The real RSACryptor of vantage6-common: reads one JSON document, answers with one.

in:  {"private_key_file": PATH, "public_key": WIRE, "payloads": [BASE64], "texts": [TEXT]}
out: {"public_key": WIRE, "encrypted": [TEXT], "decrypted": [BASE64]}
"""

import base64
import json
import logging
import sys
from pathlib import Path

from vantage6.common.encryption import RSACryptor

logging.disable(logging.CRITICAL)
question = json.load(sys.stdin)
cryptor = RSACryptor(Path(question["private_key_file"]))
answer = {
    "public_key": cryptor.public_key_str,
    "encrypted": [
        cryptor.encrypt_bytes_to_str(base64.b64decode(payload), question["public_key"])
        for payload in question["payloads"]
    ],
    "decrypted": [
        base64.b64encode(cryptor.decrypt(text)).decode() for text in question["texts"]
    ],
}
print(json.dumps(answer))
