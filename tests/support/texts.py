"""Texts of all kinds for properties of the estimate: pieces of the scripts and signs that it tells apart, mixed."""

from hypothesis import strategies as st

PIECES = (
    *("word", " ", "  ", "\n", "\n\n    ", "camelCase", "HTTPServer2", "12345", " 3.14", "(x);", " != ", "jazz", "a" * 12, "=" * 20, "\t\r\n"),
    *("café", "naïve ", "привет", " їжа", "ъ", "سلام", " و", "中国", "鬱", "東京へ", "。", "안녕", " 하세요", "שלום", "हिन्दी", "ไทย"),
    *("→", "“", "😀", "👩\u200d💻", "\x00", "\x7f"),
)

TEXTS = st.one_of(st.lists(st.sampled_from(PIECES), max_size=30).map("".join), st.text(max_size=60))
