import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # faults, whose table bench/faults.py prints
