"""`python -m thawd.cli` is `thaw`."""

from .main import main

raise SystemExit(main())
