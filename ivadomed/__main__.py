"""``python -m ivadomed``."""

import sys

from ivadomed.main import main

sys.exit(main())
