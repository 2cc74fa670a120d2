"""python -m course_lib.train NAME: the same as python course.py train NAME."""

import sys

from course_lib.zoo.train import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
