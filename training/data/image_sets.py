"""The published data sets of images by class."""

from collections.abc import Mapping

from training.data.published import TEST, TRAIN, ArchiveSource, IdxSource, PublishedSource

SOURCES: Mapping[str, PublishedSource] = {
    "mnist": IdxSource(
        name="mnist",
        title="MNIST",
        licence="CC BY-SA 3.0",
        homepage="http://yann.lecun.com/exdb/mnist/",
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        files={
            TRAIN[0]: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            TRAIN[1]: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            TEST[0]: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            TEST[1]: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        },
        labels=tuple("0123456789"),
        shape=(1, 28, 28),
        mean=(0.1307,),
        std=(0.3081,),
    ),
    "fashion-mnist": IdxSource(
        name="fashion-mnist",
        title="Fashion-MNIST",
        licence="MIT",
        homepage="https://github.com/zalandoresearch/fashion-mnist",
        mirrors=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
        files={
            TRAIN[0]: "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            TRAIN[1]: "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            TEST[0]: "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            TEST[1]: "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        },
        labels=(
            "T-shirt/top",
            "trouser",
            "pullover",
            "dress",
            "coat",
            "sandal",
            "shirt",
            "sneaker",
            "bag",
            "ankle boot",
        ),
        shape=(1, 28, 28),
        mean=(0.2860,),
        std=(0.3530,),
    ),
    # CIFAR-10 compressed once more, as JPEG: figures published for the lossless set do not hold on it.
    "cifar10-jpeg": ArchiveSource(
        name="cifar10-jpeg",
        title="CIFAR-10 as JPEG",
        licence="none stated",
        homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
        mirrors=(),
        files={
            "train.tar": "0db8497743cf5709222a41fe9ccb6b13313c50eb8b3c964c64bd5cb6201fdf12",
            "test.tar": "48fcb2a651e07ec9a5d7646c04ea4d30c137bbd9f67762f47c6425ad2b2ef598",
        },
        labels=(
            "airplane",
            "automobile",
            "bird",
            "cat",
            "deer",
            "dog",
            "frog",
            "horse",
            "ship",
            "truck",
        ),
        shape=(3, 32, 32),
        mean=(0.4913, 0.4821, 0.4465),
        std=(0.2452, 0.2428, 0.2606),
    ),
}
