"""Numbers as people read them."""


def count(number: int) -> str:
    """1234567 -> "1,234,567"."""
    return f"{number:,}"


def percent(share: float) -> str:
    """0.8765 -> "87.6%"; NaN, that is no share at all, -> a dash."""
    return "–" if share != share else f"{share:.1%}"


def duration(seconds: float) -> str:
    """0.84 -> "0.8 s"; 12.3 -> "12 s"; 75 -> "1 min 15 s"."""
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    return f"{round(seconds) // 60} min {round(seconds) % 60:02d} s"
