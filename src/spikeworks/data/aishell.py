"""AISHELL-1: 178 hours of read Mandarin by 400 speakers, 16 kHz, OpenSLR 33, Apache 2.0.

``wav/{train,dev,test}/{speaker}/{utterance}.wav`` and ``transcript/aishell_transcript_v0.8.txt``, UTF-8, a line an
utterance: its id, a blank, and words parted by blanks. Words are joined and cut into characters. Utterances without a
transcript are left out and counted. H. Bu, J. Du, X. Na, B. Wu, H. Zheng, O-COCOSDA 2017.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ..core.errors import DataError
from .disjoint import check_disjoint
from .files import FileSet, WantedFile
from .records import read_records
from .sound_length import sound_length
from .trees import locate_tree

RATE = 16_000
FOLDERS = {"train": "train", "validation": "dev", "test": "test"}
_TRANSCRIPT = "transcript/aishell_transcript_v0.8.txt"

AISHELL = FileSet(
    name="data_aishell",
    title="AISHELL-1",
    files=(*(WantedFile(f"wav/{folder}/*/*.wav") for folder in FOLDERS.values()), WantedFile(_TRANSCRIPT)),
    layout=f"wav/{{train,dev,test}}/{{speaker}}/{{utterance}}.wav and {_TRANSCRIPT}",
    folders=("aishell/data_aishell", "aishell"),
    advice="unpack data_aishell.tgz of openslr.org/33 and the archive of every speaker in it",
)


@dataclasses.dataclass(frozen=True)
class Utterance:
    """One recording: its file, who speaks, how many samples it has, and what is said, without blanks."""

    path: Path
    speaker: str
    samples: int
    text: str


def find_utterances(root: str | Path | None) -> tuple[dict[str, list[Utterance]], dict[str, int]]:
    """The utterances of each split, by id, and how many were left out for want of a transcript.

    Raises:
        DataError: files missing; a line of the transcripts that is none; recordings that are cut off, not mono, or not
            at 16 kHz (how many are fine, and what is wrong with the first); a split without transcripts; a speaker in
            two splits.
    """
    _, found = locate_tree(AISHELL, root)
    texts = read_transcripts(found[_TRANSCRIPT][0])
    utterances: dict[str, list[Utterance]] = {}
    skipped: dict[str, int] = {}
    for split, folder in FOLDERS.items():
        paths = sorted(found[f"wav/{folder}/*/*.wav"], key=lambda path: path.stem)
        known = [path for path in paths if path.stem in texts]
        skipped[split] = len(paths) - len(known)
        if not known:
            raise DataError(
                f"{AISHELL.title}: none of the {len(paths)} recordings of wav/{folder} has a transcript in "
                f"{found[_TRANSCRIPT][0]}."
            )
        lengths = read_records(known, lambda path: sound_length(path, RATE), f"{AISHELL.title} {folder} recording")
        utterances[split] = [
            Utterance(path, path.parent.name, samples, texts[path.stem])
            for path, samples in zip(known, lengths, strict=True)
        ]
    speakers = {split: [utterance.speaker for utterance in members] for split, members in utterances.items()}
    check_disjoint(speakers, what="speaker", who=AISHELL.title)
    return utterances, skipped


def read_transcripts(path: Path) -> dict[str, str]:
    """From the id of an utterance to its characters.

    Raises:
        DataError: not UTF-8; or lines that are not an id, a blank and words, or repeat an id: the first of them, by
            number, and how many lines are fine.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no UTF-8 text: {error.reason} at byte {error.start}.") from error
    texts: dict[str, str] = {}
    wrong: list[tuple[int, str]] = []
    for number, line in enumerate(lines, start=1):
        name, *words = line.split()[:1] + line.split()[1:] if line.split() else [""]
        if not name:
            continue
        if not words:
            wrong.append((number, f"expected an id and words parted by blanks, got {line[:60]!r}"))
        elif name in texts:
            wrong.append((number, f"{name} has a transcript already"))
        else:
            texts[name] = "".join(words)
    if wrong:
        number, what = wrong[0]
        raise DataError(
            f"{path}, line {number}: {what}; {len(wrong)} lines are wrong and the other {len(texts)} transcripts fine."
        )
    return texts
