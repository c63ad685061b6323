"""Where the tests find what they run and what they read."""

from pathlib import Path

TESTS = Path(__file__).parent
ROOT = TESTS.parent
SCRIPTS = ROOT / "workflow" / "scripts"
# Real open images and tables; tests that need them skip where they are absent.
SHARED = ROOT.parent / "shared"
