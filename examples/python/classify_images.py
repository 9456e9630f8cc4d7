# SPDX-License-Identifier: Apache-2.0
"""Names what is in images with a saved model:  python classify_images.py MODEL FOLDER

FOLDER holds a folder of JPEG or PNG files for each class, as the model was trained on.
"""

import pathlib
import sys

import bdl


def main() -> None:
    model = bdl.load(sys.argv[1])
    folder = pathlib.Path(sys.argv[2])
    classes = sorted(p.name for p in folder.iterdir() if p.is_dir())
    chances = model.predict_proba(bdl.data.Images(str(folder)))
    files = sorted(f"{c}/{f.name}" for c in classes for f in (folder / c).iterdir())
    for file, row in zip(files, chances):
        print(f"{file}\t{classes[int(row.argmax())]}\t{row.max():.3f}")


if __name__ == "__main__":
    main()
