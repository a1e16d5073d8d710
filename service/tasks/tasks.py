"""All tasks of a process; images are decoded for them in one place."""

from service.config import Config
from service.engine import Engine
from service.tasks.caption import Captioner
from service.tasks.classify import Classifier
from service.tasks.decoding import Decoder
from service.tasks.text_classify import TextClassifier


class Tasks:
    """What can be asked beside tensors."""

    def __init__(self, engine: Engine, config: Config) -> None:
        decode = Decoder(config)
        self.classifier = Classifier(engine, config, decode)
        self.captioner = Captioner(engine, config, decode)
        self.text_classifier = TextClassifier(engine, config)
