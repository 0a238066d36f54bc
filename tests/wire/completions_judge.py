"""Asks the built-in model for chat completions through the `openai` package, and judges every object strictly.

    python completions_judge.py BASE_URL

The script of the model is in completions_judge.toml beside this file.
"""

import sys

import httpx2
import openai
from openai.types import CreateEmbeddingResponse, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "lookup",
            "description": "Looks up.",
            "parameters": {
                "type": "object",
                "properties": {"q": {"type": "string"}},
                "required": ["q"],
                "additionalProperties": False,
            },
            "strict": True,
        },
    }
]
HELLO = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hi there"}]

client = openai.OpenAI(base_url=sys.argv[1], api_key="right", max_retries=0, timeout=20)


def strictly(value, kind):
    """Nothing is missing and nothing of another type: the package itself takes anything."""
    kind.model_validate(value.model_dump(exclude_unset=True), strict=True)
    return value


def judged(what):
    print("judged", what)


def ask(**options):
    return client.chat.completions.create(**{"model": "main", "messages": HELLO, **options})


# A stream.
chunks = [
    strictly(chunk, ChatCompletionChunk)
    for chunk in ask(stream=True, stream_options={"include_usage": True, "include_obfuscation": False})
]
text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
assert text == "Grüße aus Zürich, 👋 and welcome.", text
assert chunks[0].choices[0].delta.role == "assistant"
assert {chunk.id for chunk in chunks} == {chunks[0].id} and {chunk.model for chunk in chunks} == {"main"}
assert {chunk.system_fingerprint for chunk in chunks} == {"rehearsal_hello"}
assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
assert chunks[-1].choices == [] and chunks[-1].usage.total_tokens > 0
assert all(chunk.usage is None for chunk in chunks[:-1])
judged("stream")

# At once.
whole = strictly(ask(), ChatCompletion)
assert whole.choices[0].message.content == "All at once." and whole.choices[0].finish_reason == "stop"
assert whole.usage.prompt_tokens + whole.usage.completion_tokens == whole.usage.total_tokens
judged("whole")

# Tools: the package's own helper puts the pieces together.
with client.chat.completions.stream(model="main", messages=HELLO, tools=TOOLS) as stream:
    done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
    final = stream.get_final_completion().choices[0]
assert [event.arguments for event in done] == ['{"q":"opening hours"}', '{"q":"prices"}'], done
assert final.finish_reason == "tool_calls" and len(final.message.tool_calls) == 2
calls = [
    {"id": call.id, "type": "function", "function": {"name": call.function.name, "arguments": call.function.arguments}}
    for call in final.message.tool_calls
]
answers = [{"role": "tool", "tool_call_id": call["id"], "content": "nine"} for call in calls]
try:
    ask(messages=[*HELLO, {"role": "assistant", "tool_calls": calls}, *answers[:1]], tools=TOOLS)
    raise AssertionError("an answer is missing")
except openai.BadRequestError as error:
    assert calls[1]["id"] in error.message, error.message
whole = ask(messages=[*HELLO, {"role": "assistant", "tool_calls": calls}, *answers], tools=TOOLS)
assert whole.choices[0].message.content == "We open at nine."
judged("tools")

# Each model has its own answers, and an answer its length.
assert ask(model="spare").choices[0].message.content == "Hi there"
short = ask(max_completion_tokens=2).choices[0]
assert (short.message.content, short.finish_reason) == ("This is ", "length")
judged("echo")

# Requests that the API refuses.
for wrong, param in [
    ({"temperature": 3}, "temperature"),
    ({"stop": ["a"] * 5}, "stop"),
    ({"tool_choice": "auto"}, "tool_choice"),
    ({"extra_body": {"surprise": 1}}, "surprise"),
    ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
]:
    try:
        ask(**wrong)
        raise AssertionError(f"taken: {wrong}")
    except openai.BadRequestError as error:
        assert error.param == param and error.type == "invalid_request_error", error
try:
    client.with_options(api_key="wrong").models.list()
    raise AssertionError("a wrong key was taken")
except openai.AuthenticationError as error:
    assert error.code == "invalid_api_key"
judged("refusals")

# Failures, by the package's classes.
for kind, status, code in [
    (openai.InternalServerError, 500, "failed_on_purpose"),
    (openai.InternalServerError, 529, None),
    (openai.RateLimitError, 429, "rate_limit_exceeded"),
    (openai.PermissionDeniedError, 403, "failed_on_purpose"),
    (openai.UnprocessableEntityError, 422, "failed_on_purpose"),
    (openai.NotFoundError, 404, "model_not_found"),
]:
    try:
        ask(stream=True)
        raise AssertionError(f"no failure: {status}")
    except kind as error:
        assert (error.status_code, error.code) == (status, code), error
        assert (status == 429) == (error.response.headers.get("retry-after") == "20")
        assert error.request_id.startswith("req_")
said = ""
try:
    for chunk in ask(stream=True):
        said += chunk.choices[0].delta.content or ""
    raise AssertionError("an error in the stream was not seen")
except openai.APIError as error:
    assert (said, error.code, error.message) == ("This is ", "overloaded", "The model is overloaded."), error
try:
    ask(stream=True)
    raise AssertionError("a reset was not seen")
except openai.APIConnectionError:
    pass
said = ""
try:
    for chunk in ask(stream=True):
        said += chunk.choices[0].delta.content or ""
    raise AssertionError("a cut was not seen")
except (httpx2.RemoteProtocolError, httpx2.ReadError, openai.APIConnectionError):
    assert said == "This is the ", said
judged("failures")

# Which models there are.
assert [strictly(model, Model).id for model in client.models.list()] == ["main", "spare"]
assert client.models.retrieve("spare").id == "spare"
try:
    client.models.retrieve("gone")
    raise AssertionError("a model that is not there")
except openai.NotFoundError as error:
    assert error.code == "model_not_found"
judged("models")

# Embeddings, which the package asks for in base64.
texts = ["What are your opening hours?", "Our opening hours are nine to five.", "A table for two."]
found = strictly(client.embeddings.create(model="main", input=texts), CreateEmbeddingResponse)
near = [sum(a * b for a, b in zip(found.data[0].embedding, one.embedding)) for one in found.data]
assert abs(near[0] - 1) < 1e-5 and near[1] > near[2], near
plain = client.embeddings.create(model="main", input=texts[0], encoding_format="float", dimensions=64)
assert len(plain.data[0].embedding) == 64 and found.usage.prompt_tokens > 0
judged("embeddings")

