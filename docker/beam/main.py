"""What a Flex Template's launcher runs."""

import sys

from beam_pipelines.tile_slides import main

if __name__ == "__main__":
    sys.exit(main())
