"`python -m facemask_seg` is `facemask-seg`; `torchrun -m facemask_seg -- train` is one training by several processes."
import sys

from .cli import main

# torchrun may hand on the two dashes that end its own options
if __name__ == '__main__': sys.exit(main(sys.argv[1 + (sys.argv[1:2] == ['--']):]))
