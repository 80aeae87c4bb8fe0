"""Writes docs.txt: the project's documents one after another, for a language model of characters.

    python3 make.py

Characters outside of ASCII are left out, so that the vocabulary stays small.
"""

import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[3]


def main():
    files = [ROOT / "README.md", ROOT / "ARCHITECTURE.md"]
    files += sorted((ROOT / "docs").glob("*.md")) + sorted((ROOT / "docs" / "errors").glob("*.md"))
    text = "\n\n".join(file.read_text(encoding="utf-8").strip() for file in files)
    kept = "".join(c for c in text if c == "\n" or " " <= c <= "~")
    (pathlib.Path(__file__).parent / "docs.txt").write_text(kept + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
