#!/usr/bin/env python3
"""Other judges for `cargo run --example hearing`: Silero v6 by ONNX Runtime and the webrtc VAD, on the same clips.

    python3 -m venv /tmp/judges
    /tmp/judges/bin/pip install numpy scipy onnxruntime webrtcvad-wheels
    /tmp/judges/bin/pip install --no-deps silero-vad
    /tmp/judges/bin/python examples/hearing/judges.py

Writes target/judges.csv: lines of judge,clip,step in ms,probabilities. Reads fixtures/audio and ../shared/audio, or the
folders in OFFHOOK_SPEECH. 16 kHz are had from 8 kHz by a steep polyphase filter without delay.
"""

import importlib.util
import json
import os
import pathlib
import wave

import numpy as np
import onnxruntime
import webrtcvad
from scipy.signal import resample_poly

ROOT = pathlib.Path(__file__).resolve().parents[2]
TAIL = 512  # samples of silence after each clip, so that its last step is whole


def main():
    out = ROOT / "target" / "judges.csv"
    out.parent.mkdir(exist_ok=True)
    silero = Silero()
    with open(out, "w") as file:
        for name, audio in clips():
            audio = np.concatenate([audio, np.zeros(TAIL, np.int16)])
            judged = [("ONNX 16k", 32, silero.judge(double(audio), 16_000)), ("ONNX 8k", 32, silero.judge(audio / 32768, 8_000))]
            judged.append(("webrtc mode 2", 10, webrtc(audio, 2)))
            for judge, step_ms, values in judged:
                file.write(f"{judge},{name},{step_ms},{' '.join(f'{v:.4f}' for v in values)}\n")
    print(out)


def clips():
    """Names and audio of all clips that the example reads."""
    folders = os.environ.get("OFFHOOK_SPEECH", str(ROOT / "../shared/audio")).split(os.pathsep)
    for folder in [pathlib.Path(f) for f in folders] + [ROOT / "fixtures/audio"]:
        if not folder.is_dir():
            continue
        if not (folder / "index.json").exists():
            for path in sorted(folder.glob("*.wav")):
                yield path.stem, read(path)
            continue
        index = json.loads((folder / "index.json").read_text())
        originals = {e.get("derived_from") for e in index if e["kind"] == "recording-8k-g711"}
        for entry in index:
            if entry["file"] not in originals:
                yield entry["id"], read(folder / entry["file"])


def read(path):
    with wave.open(str(path)) as file:
        assert file.getnchannels() == 1 and file.getsampwidth() == 2 and file.getframerate() == 8_000, path
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def double(audio):
    return resample_poly(audio / 32768, 2, 1, window=("kaiser", 8.0)).astype(np.float32)


class Silero:
    def __init__(self):
        model = pathlib.Path(importlib.util.find_spec("silero_vad").submodule_search_locations[0]) / "data/silero_vad.onnx"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])

    def judge(self, audio, rate_hz):
        step = rate_hz * 32 // 1_000
        state, context = np.zeros((2, 1, 128), np.float32), np.zeros(step // 8, np.float32)
        for n in range(len(audio) // step):
            frame = np.concatenate([context, audio[n * step : (n + 1) * step]]).astype(np.float32)
            inputs = {"input": frame[None], "state": state, "sr": np.array(rate_hz, np.int64)}
            p, state = self.session.run(None, inputs)
            context = frame[-(step // 8) :]
            yield float(p[0, 0])


def webrtc(audio, mode):
    vad = webrtcvad.Vad(mode)
    frames = len(audio) // 80
    return [float(vad.is_speech(audio[n * 80 : (n + 1) * 80].astype("<i2").tobytes(), 8_000)) for n in range(frames)]


if __name__ == "__main__":
    main()
