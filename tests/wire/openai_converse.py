"""Holds a whole conversation with the built-in model through the `openai` package.

    python openai_converse.py HOST:PORT

The script of the model is in openai.rs beside this file. Every event that came in is also judged strictly.
"""

import asyncio
import base64
import json
import math
import struct
import sys

import openai_judge
from openai import AsyncOpenAI

RATE = 24_000
TOOL = {
    "type": "function",
    "name": "note",
    "description": "Keeps a note.",
    "parameters": {"type": "object", "properties": {"text": {"type": "string"}}},
}


def tone(ms):
    return b"".join(struct.pack("<h", int(9_000 * math.sin(n * 0.13))) for n in range(RATE * ms // 1_000))


def silence(ms):
    return bytes(2 * RATE * ms // 1_000)


class Caller:
    """A connection that keeps all events raw for the judge."""

    def __init__(self, connection):
        self.connection = connection
        self.raw = []
        self.audio = b""

    async def next(self):
        raw = await asyncio.wait_for(self.connection.recv_bytes(), 20)
        self.raw.append(raw.decode())
        event = self.connection.parse_event(raw)
        if event.type == "response.output_audio.delta":
            self.audio += base64.b64decode(event.delta)
        return event

    async def until(self, *kinds):
        """Events up to the first of one of these types, which comes last."""
        events = []
        while not events or events[-1].type not in kinds:
            events.append(await self.next())
            if events[-1].type == "error" and "error" not in kinds:
                raise AssertionError(f"refused: {events[-1].error}")
        return events

    async def say(self, audio):
        step = 2 * RATE * 20 // 1_000
        for at in range(0, len(audio), step):
            chunk = base64.b64encode(audio[at : at + step]).decode()
            await self.connection.input_audio_buffer.append(audio=chunk)


def only(events, kind):
    return next(event for event in events if event.type == kind)


async def converse(caller):
    connection = caller.connection
    greeting = (await caller.until("session.created"))[-1]
    assert greeting.session.audio.output.voice == "marin", greeting
    detection = {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 100, "silence_duration_ms": 200}
    await connection.session.update(
        session={
            "type": "realtime",
            "instructions": "You answer the phone.",
            "audio": {"input": {"transcription": {"model": "gpt-transcribe"}, "turn_detection": detection}},
            "tools": [TOOL],
        }
    )
    updated = (await caller.until("session.updated"))[-1]
    assert updated.session.instructions == "You answer the phone."

    # A spoken turn by server VAD, answered with audio and words.
    turn = silence(300) + tone(700) + silence(300)
    await caller.say(turn)
    events = await caller.until("response.done")
    assert only(events, "input_audio_buffer.speech_started").audio_start_ms == 200
    words = "".join(event.delta for event in events if event.type == "response.output_audio_transcript.delta")
    assert words == "For how many people, please?", words
    assert events[-1].response.status == "completed" and events[-1].response.usage.output_tokens > 0
    assert len(caller.audio) == 2 * RATE * 65 * len(words) // 1_000, len(caller.audio)
    heard = "conversation.item.input_audio_transcription.completed"
    if not any(event.type == heard for event in events):
        events += await caller.until(heard)
    assert only(events, heard).transcript == "A table, please."

    # A tool call and its output.
    await caller.say(turn)
    call = only(await caller.until("response.done"), "response.function_call_arguments.done")
    assert (call.name, json.loads(call.arguments)) == ("note", {"text": "four"}), call
    output = {"type": "function_call_output", "call_id": call.call_id, "output": '{"ok":true}'}
    await connection.conversation.item.create(item=output)
    await connection.response.create()
    done = only(await caller.until("response.done"), "response.output_audio_transcript.done")
    assert done.transcript == "Four it is.", done

    # Barge-in: speech stops the answer; what was not heard is cut off.
    await caller.say(turn)
    delta = (await caller.until("response.output_audio.delta"))[-1]
    await caller.say(tone(400))
    stopped = (await caller.until("response.done"))[-1].response
    assert (stopped.status, stopped.status_details.reason) == ("cancelled", "turn_detected"), stopped
    await connection.conversation.item.truncate(item_id=delta.item_id, content_index=0, audio_end_ms=60)
    assert (await caller.until("conversation.item.truncated"))[-1].audio_end_ms == 60
    await connection.conversation.item.truncate(
        item_id=delta.item_id, content_index=0, audio_end_ms=60_000, event_id="past-the-end"
    )
    refused = (await caller.until("error"))[-1].error
    assert "already shorter" in refused.message and refused.event_id == "past-the-end", refused
    await caller.say(silence(300))
    await caller.until("response.done")

    # By hand: empty commit, commit, response, cancel.
    off = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
    await connection.session.update(session=off)
    assert (await caller.until("session.updated"))[-1].session.audio.input.turn_detection is None
    await connection.input_audio_buffer.clear()
    await caller.until("input_audio_buffer.cleared")
    await connection.input_audio_buffer.commit()
    assert (await caller.until("error"))[-1].error.code == "input_audio_buffer_commit_empty"
    await caller.say(tone(200))
    await connection.input_audio_buffer.commit()
    await caller.until("input_audio_buffer.committed")
    await connection.response.create()
    await caller.until("response.output_audio.delta")
    await connection.response.create()
    assert (await caller.until("error"))[-1].error.code == "conversation_already_has_active_response"
    await connection.response.cancel()
    done = (await caller.until("response.done"))[-1].response
    assert (done.status, done.status_details.reason) == ("cancelled", "client_cancelled"), done
    await connection.response.cancel()
    assert (await caller.until("error"))[-1].error.code == "response_cancel_not_active"

    # Items, a response beside the conversation, and what the API does not have.
    message = {"id": "mine", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}
    await connection.conversation.item.create(item=message)
    await caller.until("conversation.item.done")
    await connection.conversation.item.retrieve(item_id="mine")
    assert (await caller.until("conversation.item.retrieved"))[-1].item.content[0].text == "Hi"
    await connection.conversation.item.delete(item_id="mine")
    await caller.until("conversation.item.deleted")
    aside = {
        "conversation": "none",
        "instructions": "Sum up.",
        "output_modalities": ["text"],
        "metadata": {"topic": "summary"},
    }
    await connection.response.create(response=aside)
    done = (await caller.until("response.done"))[-1].response
    assert (done.conversation_id, done.metadata) == (None, {"topic": "summary"}), done
    assert done.output[0].content[0].text == "Sum up.", done
    await connection.session.update(session={"type": "realtime", "temperature": 0.8})
    assert (await caller.until("error"))[-1].error.code == "unknown_parameter"
    await connection.send({"type": "response.surprise"})
    assert (await caller.until("error"))[-1].error.code == "invalid_event"


async def refused(host):
    client = AsyncOpenAI(api_key="wrong", base_url=f"http://{host}/v1", websocket_base_url=f"ws://{host}/v1")
    try:
        async with client.realtime.connect(model="rehearsal"):
            raise AssertionError("a wrong key was taken")
    except Exception as error:
        assert "401" in str(error), error


async def main(host):
    client = AsyncOpenAI(api_key="right", base_url=f"http://{host}/v1", websocket_base_url=f"ws://{host}/v1")
    async with client.realtime.connect(model="rehearsal") as connection:
        caller = Caller(connection)
        await converse(caller)
    await refused(host)
    seen, found = openai_judge.judge("server", caller.raw)
    for violation in found:
        print("VIOLATION", violation)
    for kind, count in sorted(seen.items()):
        print("seen", count, kind)
    sys.exit(1 if found else 0)


asyncio.run(main(sys.argv[1]))
