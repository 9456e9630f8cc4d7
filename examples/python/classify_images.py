# SPDX-License-Identifier: Apache-2.0
"""Names what is in images with a saved model:  python classify_images.py MODEL FOLDER

FOLDER holds a folder of JPEG or PNG files for each class, as the model was trained on.
"""

import pathlib
import sys

import bdl


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    model = bdl.load(sys.argv[1])
    folder = pathlib.Path(sys.argv[2])
    classes = sorted(p.name for p in folder.iterdir() if p.is_dir())
    chances = model.predict_proba(bdl.data.Images(str(folder)))
    # the order in which bdl reads them: folder by folder, in each by name
    kinds = (".jpg", ".jpeg", ".png")
    files = [f"{c}/{f.name}" for c in classes for f in sorted((folder / c).iterdir()) if f.suffix.lower() in kinds]
    for file, row in zip(files, chances):
        print(f"{file}\t{classes[int(row.argmax())]}\t{row.max():.3f}")


if __name__ == "__main__":
    main()
