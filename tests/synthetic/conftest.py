import sys
from pathlib import Path

# The helper module ``specs`` stands beside the tests.
sys.path.insert(0, str(Path(__file__).parent))
