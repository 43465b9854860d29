"""One number from beginning to end: images, training, K-means. It is slow, and notices what no other test does."""

from cdlearn.config import Config
from cdlearn.data import load
from cdlearn.evaluate import cluster_scores, embed, raw_pixels
from cdlearn.trainer import fit


def test_the_heads_find_the_patterns_that_raw_pixels_do_not():
    config = Config.preset("laptop", epochs=8, limit=1024, heads=64, lr=2e-3, warmup=10)
    images = load("shapes", config.size, config.limit, config.seed)
    model = fit(config, images)
    found = embed(model, images.images, config.size)
    assert cluster_scores(raw_pixels(images.images, config.size), images.labels, seeds=1)["nmi"] < 0.2
    assert cluster_scores(found["output"], images.labels, seeds=1)["nmi"] > 0.9
