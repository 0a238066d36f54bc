"""Calls a number: OFFHOOK_KEY=oh_key_... python3 call.py +15550100900"""

import json
import os
import re
import sys
import time
import urllib.error
import urllib.request
import uuid

URL = §url§
WISH = §body§

# What is worth another attempt, and the seconds after which there is none.
LATER = {408, 429, 502, 503, 504}
PATIENCE_S = 60


def main():
    key = os.environ.get("OFFHOOK_KEY")
    if not key:
        sys.exit("OFFHOOK_KEY must be an API key that may place calls")
    to = sys.argv[1] if len(sys.argv) == 2 else ""
    if not re.fullmatch(r"\+[1-9][0-9]{6,14}", to):
        sys.exit("Whom to call, in E.164: python3 call.py +15550100900")
    request = urllib.request.Request(
        URL,
        method="POST",
        data=json.dumps({**WISH, "to": to}).encode(),
        headers={
            "Authorization": f"Bearer {key}",
            # New for each run, the same for its attempts: repeated, the request rings nobody twice.
            "Idempotency-Key": str(uuid.uuid4()),
            "Content-Type": "application/json",
        },
    )
    give_up, pause_s = time.monotonic() + PATIENCE_S, 1
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                print(answer.read().decode())
                return
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")
            after = error.headers.get("Retry-After", "")
            wait_s = int(after) if after.isdecimal() else pause_s
            if error.code not in LATER or time.monotonic() + wait_s > give_up:
                sys.exit(f"HTTP {error.code}: {said}")
        except OSError as error:
            sys.exit(f"no answer: {error}")
        time.sleep(wait_s)
        pause_s *= 2


main()
