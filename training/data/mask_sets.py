"""The published data sets of images with masks."""

from collections.abc import Mapping

from training.data.published_masks import HashedNames, PublishedMasks, SplitFolders

MASK_SETS: Mapping[str, PublishedMasks] = {
    # At a quarter of the published size: no public host has this form.
    "camvid": SplitFolders(
        name="camvid",
        title="CamVid",
        licence="CC BY-NC 4.0",
        homepage="http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid/",
        files={"CamVid-240x180.tar": "60255b681363d73cbb42293529228998bd6f5a359db9c111154a32f06498345f"},
        labels=(
            "sky",
            "building",
            "pole",
            "road",
            "pavement",
            "tree",
            "sign",
            "fence",
            "car",
            "pedestrian",
            "bicyclist",
        ),
        # Those of the published masks.
        palette=(
            "#808080",
            "#800000",
            "#c0c080",
            "#804080",
            "#0000c0",
            "#808000",
            "#c08080",
            "#404080",
            "#400080",
            "#404000",
            "#0080c0",
        ),
        shape=(3, 180, 240),
        mean=(0.4116, 0.4248, 0.4324),
        std=(0.3022, 0.3066, 0.3026),
        shareable=False,
        void=11,
    ),
    # Resized to one size and with the nuclei of an image in one mask: no public host has this form.
    "dsb2018-nuclei": HashedNames(
        name="dsb2018-nuclei",
        title="Data Science Bowl 2018 nuclei",
        licence="CC0",
        homepage="https://bbbc.broadinstitute.org/BBBC038",
        files={"dsb2018-256.tar": "edea8da57ef42bcc118ca977f86f5861b1299e0fa9213dbf003185a9b1749377"},
        labels=("background", "nucleus"),
        palette=("#000000", "#ffe119"),
        shape=(3, 256, 256),
        mean=(0.1603, 0.1460, 0.1769),
        std=(0.2564, 0.2366, 0.2872),
        shareable=True,
        background=0,
        countable=(1,),
    ),
}
