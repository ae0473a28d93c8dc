import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # regime_cases, under any of pytest's import modes
