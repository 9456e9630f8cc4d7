# SPDX-License-Identifier: Apache-2.0
# ctest: timeout=600
"""Encoded images (a binary column) and Spark's image struct through fit and transform, against the command on their pixels."""

import json
import struct
import zlib

import numpy as np
import pyarrow as pa
import pytest

from bdl.errors import BdlFormatError
from bdl.spark import BdlClassifier

from data import bdl_train, weights_of

N, SIDE = 60, 8
MODEL = "mlp(hidden=[8])"


@pytest.fixture(scope="module")
def spark(local_session):
    return local_session


def pixels(height=SIDE, width=SIDE):
    """Noise in which one of red, green and blue is strong: (N, h, w, 3) of bytes, and which one."""
    random = np.random.default_rng(11)
    y = np.arange(N) % 3
    x = random.integers(0, 120, (N, height, width, 3))
    x[np.arange(N), :, :, y] += 130
    return x.astype(np.uint8), y.astype(np.int64)


def png(image):
    """The PNG file of an image (h, w, 3) of bytes."""
    height, width, _ = image.shape

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + row.tobytes() for row in image)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def jpeg(spark, file):
    """The JPEG file that Java makes of a PNG file."""
    jvm = spark._jvm
    image = jvm.javax.imageio.ImageIO.read(jvm.java.io.ByteArrayInputStream(file))
    out = jvm.java.io.ByteArrayOutputStream()
    assert jvm.javax.imageio.ImageIO.write(image, "jpg", out)
    return bytes(out.toByteArray())


def frame(spark, files, y, **others):
    columns = {"image": pa.array(files, pa.binary()), "label": pa.array(y)}
    return spark.createDataFrame(pa.table({**columns, **others}))


def classifier(**params):
    return BdlClassifier(**{"model": MODEL, "featuresCol": "image", "epochs": 6, "batchSize": 32, "numWorkers": 2, "metrics": "top1",
                            "preprocessing": "scale(factor=0.00392)", "optim": "adam(lr=0.01)", **params})


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """What the command trains on the same pixels, (3, h, w) in red-green-blue order."""
    x, y = pixels()
    return bdl_train(tmp_path_factory.mktemp("truth"), np.ascontiguousarray(x.transpose(0, 3, 1, 2)), y, MODEL, epochs=6, batch=32,
                     transform="scale(factor=0.00392)", optim="adam(lr=0.01)")


def accuracy(model, rows):
    found = model.transform(rows).select("label", "prediction").collect()
    assert len(found) == rows.count()
    return np.mean([r["label"] == r["prediction"] for r in found])


def test_sparks_image_struct_trains_as_its_pixels(spark, tmp_path, expected):
    """Read by Spark's own data source, which decodes to blue-green-red rows."""
    x, y = pixels()
    for i, image in enumerate(x):
        (tmp_path / f"{i:03d}-{y[i]}.png").write_bytes(png(image))
    rows = spark.read.format("image").load(str(tmp_path)).selectExpr(
        "image", "cast(regexp_extract(image.origin, '-([0-9]).png', 1) as int) as label")
    model = classifier().fit(rows)
    assert weights_of(model) == expected
    assert accuracy(model, rows) == 1


def test_encoded_images_train_and_are_predicted_as_their_pixels(spark, expected):
    x, y = pixels()
    rows = frame(spark, [png(image) for image in x], y)
    one, two = (classifier(numWorkers=n, inputShape=[3]).fit(rows) for n in (1, 2))
    assert weights_of(one) == weights_of(two)  # their order is that of the files' keys, so not the bits of `expected`
    assert accuracy(two, rows) == 1
    structs = [{"image": {"origin": "", "height": SIDE, "width": SIDE, "nChannels": 3, "mode": 16,
                          "data": image[..., ::-1].tobytes()}} for image in x]
    plain = spark.createDataFrame(pa.Table.from_pylist(structs)).coalesce(1)
    same = two.copy({two.inputShape: []})
    found = [r["rawPrediction"] for r in two.transform(rows.coalesce(1)).collect()]
    assert found == [r["rawPrediction"] for r in same.transform(plain).collect()]


def test_jpeg_files_of_many_sizes_are_resized(spark):
    files, labels = [], []
    for height, width in ((8, 8), (12, 9), (20, 30)):
        x, y = pixels(height, width)
        files += [jpeg(spark, png(image)) for image in x[:30]]
        labels += y[:30].tolist()
    rows = frame(spark, files, labels)
    model = classifier(preprocessing="resize(size=[8, 8]), scale(factor=0.00392)", epochs=8).fit(rows.repartition(3))
    assert accuracy(model, rows) > 0.95
    grey = classifier(preprocessing="resize(size=[8, 8]), scale(factor=0.00392)", inputShape=[1], epochs=1).fit(rows)
    assert json.loads(grey._contents.content["model.json"])["graph"]["inputs"][0]["shape"] == [1, SIDE, SIDE]


def test_a_file_that_is_no_image_is_named(spark):
    x, y = pixels()
    files = [png(image) for image in x]
    model = classifier(epochs=1).fit(frame(spark, files, y))
    files[17] = files[17][:60]
    rows = frame(spark, files, y).coalesce(1)
    with pytest.raises(BdlFormatError, match="image"):
        classifier(epochs=1).fit(rows)
    with pytest.raises(Exception, match="column 'image', row 17 of input partition 0: the image cannot be decoded"):
        model.transform(rows).collect()
