"`python -m facemask_seg` is `facemask-seg`; `torchrun -m facemask_seg train` is one training by several processes."
import sys

from .cli import main

if __name__ == '__main__': sys.exit(main())
