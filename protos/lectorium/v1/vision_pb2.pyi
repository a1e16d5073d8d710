from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ClassifyRequest(_message.Message):
    __slots__ = ("image", "model", "version", "top_k", "views", "explain", "explain_label", "layer", "id")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    VIEWS_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_LABEL_FIELD_NUMBER: _ClassVar[int]
    LAYER_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    image: bytes
    model: str
    version: str
    top_k: int
    views: str
    explain: str
    explain_label: str
    layer: str
    id: str
    def __init__(self, image: _Optional[bytes] = ..., model: _Optional[str] = ..., version: _Optional[str] = ..., top_k: _Optional[int] = ..., views: _Optional[str] = ..., explain: _Optional[str] = ..., explain_label: _Optional[str] = ..., layer: _Optional[str] = ..., id: _Optional[str] = ...) -> None: ...

class ClassifyResponse(_message.Message):
    __slots__ = ("model", "version", "labels", "timing", "explanation", "id")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    labels: _containers.RepeatedCompositeFieldContainer[Label]
    timing: Timing
    explanation: Explanation
    id: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., labels: _Optional[_Iterable[_Union[Label, _Mapping]]] = ..., timing: _Optional[_Union[Timing, _Mapping]] = ..., explanation: _Optional[_Union[Explanation, _Mapping]] = ..., id: _Optional[str] = ...) -> None: ...

class ClassifyBatchRequest(_message.Message):
    __slots__ = ("images", "model", "version", "top_k", "views", "explain", "explain_label", "layer", "id")
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    VIEWS_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_LABEL_FIELD_NUMBER: _ClassVar[int]
    LAYER_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    images: _containers.RepeatedScalarFieldContainer[bytes]
    model: str
    version: str
    top_k: int
    views: str
    explain: str
    explain_label: str
    layer: str
    id: str
    def __init__(self, images: _Optional[_Iterable[bytes]] = ..., model: _Optional[str] = ..., version: _Optional[str] = ..., top_k: _Optional[int] = ..., views: _Optional[str] = ..., explain: _Optional[str] = ..., explain_label: _Optional[str] = ..., layer: _Optional[str] = ..., id: _Optional[str] = ...) -> None: ...

class ClassifyBatchResponse(_message.Message):
    __slots__ = ("model", "version", "results", "timing", "id")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    results: _containers.RepeatedCompositeFieldContainer[ClassifyResult]
    timing: Timing
    id: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., results: _Optional[_Iterable[_Union[ClassifyResult, _Mapping]]] = ..., timing: _Optional[_Union[Timing, _Mapping]] = ..., id: _Optional[str] = ...) -> None: ...

class ClassifyResult(_message.Message):
    __slots__ = ("labels", "explanation")
    LABELS_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    labels: _containers.RepeatedCompositeFieldContainer[Label]
    explanation: Explanation
    def __init__(self, labels: _Optional[_Iterable[_Union[Label, _Mapping]]] = ..., explanation: _Optional[_Union[Explanation, _Mapping]] = ...) -> None: ...

class ClassifyStreamResponse(_message.Message):
    __slots__ = ("id", "response", "error")
    ID_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    id: str
    response: ClassifyResponse
    error: Error
    def __init__(self, id: _Optional[str] = ..., response: _Optional[_Union[ClassifyResponse, _Mapping]] = ..., error: _Optional[_Union[Error, _Mapping]] = ...) -> None: ...

class Error(_message.Message):
    __slots__ = ("code", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class Label(_message.Message):
    __slots__ = ("label", "index", "probability")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    label: str
    index: int
    probability: float
    def __init__(self, label: _Optional[str] = ..., index: _Optional[int] = ..., probability: _Optional[float] = ...) -> None: ...

class Explanation(_message.Message):
    __slots__ = ("method", "label", "index", "layer", "evidence")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    LAYER_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    method: str
    label: str
    index: int
    layer: str
    evidence: _containers.RepeatedCompositeFieldContainer[Evidence]
    def __init__(self, method: _Optional[str] = ..., label: _Optional[str] = ..., index: _Optional[int] = ..., layer: _Optional[str] = ..., evidence: _Optional[_Iterable[_Union[Evidence, _Mapping]]] = ...) -> None: ...

class Evidence(_message.Message):
    __slots__ = ("map", "strength", "png", "shape", "values")
    MAP_FIELD_NUMBER: _ClassVar[int]
    STRENGTH_FIELD_NUMBER: _ClassVar[int]
    PNG_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    map: int
    strength: float
    png: bytes
    shape: _containers.RepeatedScalarFieldContainer[int]
    values: bytes
    def __init__(self, map: _Optional[int] = ..., strength: _Optional[float] = ..., png: _Optional[bytes] = ..., shape: _Optional[_Iterable[int]] = ..., values: _Optional[bytes] = ...) -> None: ...

class CaptionRequest(_message.Message):
    __slots__ = ("image", "model", "version", "strategy", "beam_width", "length_penalty", "n_best", "temperature", "top_k", "top_p", "seed", "max_words", "prefix", "attention", "id")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    BEAM_WIDTH_FIELD_NUMBER: _ClassVar[int]
    LENGTH_PENALTY_FIELD_NUMBER: _ClassVar[int]
    N_BEST_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    TOP_P_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    MAX_WORDS_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    ATTENTION_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    image: bytes
    model: str
    version: str
    strategy: str
    beam_width: int
    length_penalty: float
    n_best: int
    temperature: float
    top_k: int
    top_p: float
    seed: int
    max_words: int
    prefix: str
    attention: str
    id: str
    def __init__(self, image: _Optional[bytes] = ..., model: _Optional[str] = ..., version: _Optional[str] = ..., strategy: _Optional[str] = ..., beam_width: _Optional[int] = ..., length_penalty: _Optional[float] = ..., n_best: _Optional[int] = ..., temperature: _Optional[float] = ..., top_k: _Optional[int] = ..., top_p: _Optional[float] = ..., seed: _Optional[int] = ..., max_words: _Optional[int] = ..., prefix: _Optional[str] = ..., attention: _Optional[str] = ..., id: _Optional[str] = ...) -> None: ...

class CaptionResponse(_message.Message):
    __slots__ = ("id", "word", "answer")
    ID_FIELD_NUMBER: _ClassVar[int]
    WORD_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    id: str
    word: Word
    answer: Captioning
    def __init__(self, id: _Optional[str] = ..., word: _Optional[_Union[Word, _Mapping]] = ..., answer: _Optional[_Union[Captioning, _Mapping]] = ...) -> None: ...

class Captioning(_message.Message):
    __slots__ = ("model", "version", "captions", "seed", "timing")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CAPTIONS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    captions: _containers.RepeatedCompositeFieldContainer[Caption]
    seed: int
    timing: Timing
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., captions: _Optional[_Iterable[_Union[Caption, _Mapping]]] = ..., seed: _Optional[int] = ..., timing: _Optional[_Union[Timing, _Mapping]] = ...) -> None: ...

class Caption(_message.Message):
    __slots__ = ("text", "score", "words")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    text: str
    score: float
    words: _containers.RepeatedCompositeFieldContainer[Word]
    def __init__(self, text: _Optional[str] = ..., score: _Optional[float] = ..., words: _Optional[_Iterable[_Union[Word, _Mapping]]] = ...) -> None: ...

class Word(_message.Message):
    __slots__ = ("word", "log_probability", "attention")
    WORD_FIELD_NUMBER: _ClassVar[int]
    LOG_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    ATTENTION_FIELD_NUMBER: _ClassVar[int]
    word: str
    log_probability: float
    attention: Attention
    def __init__(self, word: _Optional[str] = ..., log_probability: _Optional[float] = ..., attention: _Optional[_Union[Attention, _Mapping]] = ...) -> None: ...

class Attention(_message.Message):
    __slots__ = ("png", "shape", "values")
    PNG_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    png: bytes
    shape: _containers.RepeatedScalarFieldContainer[int]
    values: bytes
    def __init__(self, png: _Optional[bytes] = ..., shape: _Optional[_Iterable[int]] = ..., values: _Optional[bytes] = ...) -> None: ...

class ClassifyTextRequest(_message.Message):
    __slots__ = ("text", "model", "version", "top_k", "id")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    text: str
    model: str
    version: str
    top_k: int
    id: str
    def __init__(self, text: _Optional[str] = ..., model: _Optional[str] = ..., version: _Optional[str] = ..., top_k: _Optional[int] = ..., id: _Optional[str] = ...) -> None: ...

class ClassifyTextResponse(_message.Message):
    __slots__ = ("model", "version", "labels", "timing", "id")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    labels: _containers.RepeatedCompositeFieldContainer[Label]
    timing: Timing
    id: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., labels: _Optional[_Iterable[_Union[Label, _Mapping]]] = ..., timing: _Optional[_Union[Timing, _Mapping]] = ..., id: _Optional[str] = ...) -> None: ...

class ClassifyTextBatchRequest(_message.Message):
    __slots__ = ("texts", "model", "version", "top_k", "id")
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    texts: _containers.RepeatedScalarFieldContainer[str]
    model: str
    version: str
    top_k: int
    id: str
    def __init__(self, texts: _Optional[_Iterable[str]] = ..., model: _Optional[str] = ..., version: _Optional[str] = ..., top_k: _Optional[int] = ..., id: _Optional[str] = ...) -> None: ...

class ClassifyTextBatchResponse(_message.Message):
    __slots__ = ("model", "version", "results", "timing", "id")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    results: _containers.RepeatedCompositeFieldContainer[TextLabels]
    timing: Timing
    id: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., results: _Optional[_Iterable[_Union[TextLabels, _Mapping]]] = ..., timing: _Optional[_Union[Timing, _Mapping]] = ..., id: _Optional[str] = ...) -> None: ...

class TextLabels(_message.Message):
    __slots__ = ("labels",)
    LABELS_FIELD_NUMBER: _ClassVar[int]
    labels: _containers.RepeatedCompositeFieldContainer[Label]
    def __init__(self, labels: _Optional[_Iterable[_Union[Label, _Mapping]]] = ...) -> None: ...

class EmbedRequest(_message.Message):
    __slots__ = ("image", "model", "version", "normalize", "id")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    NORMALIZE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    image: bytes
    model: str
    version: str
    normalize: bool
    id: str
    def __init__(self, image: _Optional[bytes] = ..., model: _Optional[str] = ..., version: _Optional[str] = ..., normalize: bool = ..., id: _Optional[str] = ...) -> None: ...

class EmbedResponse(_message.Message):
    __slots__ = ("model", "version", "embedding", "timing", "id")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    embedding: _containers.RepeatedScalarFieldContainer[float]
    timing: Timing
    id: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., embedding: _Optional[_Iterable[float]] = ..., timing: _Optional[_Union[Timing, _Mapping]] = ..., id: _Optional[str] = ...) -> None: ...

class EmbedBatchRequest(_message.Message):
    __slots__ = ("images", "model", "version", "normalize", "id")
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    NORMALIZE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    images: _containers.RepeatedScalarFieldContainer[bytes]
    model: str
    version: str
    normalize: bool
    id: str
    def __init__(self, images: _Optional[_Iterable[bytes]] = ..., model: _Optional[str] = ..., version: _Optional[str] = ..., normalize: bool = ..., id: _Optional[str] = ...) -> None: ...

class EmbedBatchResponse(_message.Message):
    __slots__ = ("model", "version", "results", "timing", "id")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    results: _containers.RepeatedCompositeFieldContainer[Embedded]
    timing: Timing
    id: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., results: _Optional[_Iterable[_Union[Embedded, _Mapping]]] = ..., timing: _Optional[_Union[Timing, _Mapping]] = ..., id: _Optional[str] = ...) -> None: ...

class Embedded(_message.Message):
    __slots__ = ("embedding",)
    EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    embedding: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, embedding: _Optional[_Iterable[float]] = ...) -> None: ...

class SegmentRequest(_message.Message):
    __slots__ = ("image", "model", "version", "output", "opacity", "id", "tile", "overlap", "method", "label", "threshold")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    OPACITY_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    TILE_FIELD_NUMBER: _ClassVar[int]
    OVERLAP_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    image: bytes
    model: str
    version: str
    output: str
    opacity: float
    id: str
    tile: bool
    overlap: int
    method: str
    label: str
    threshold: float
    def __init__(self, image: _Optional[bytes] = ..., model: _Optional[str] = ..., version: _Optional[str] = ..., output: _Optional[str] = ..., opacity: _Optional[float] = ..., id: _Optional[str] = ..., tile: bool = ..., overlap: _Optional[int] = ..., method: _Optional[str] = ..., label: _Optional[str] = ..., threshold: _Optional[float] = ...) -> None: ...

class SegmentResponse(_message.Message):
    __slots__ = ("model", "version", "height", "width", "classes", "mask", "overlay", "indices", "rle", "polygons", "instances", "timing", "id")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    OVERLAY_FIELD_NUMBER: _ClassVar[int]
    INDICES_FIELD_NUMBER: _ClassVar[int]
    RLE_FIELD_NUMBER: _ClassVar[int]
    POLYGONS_FIELD_NUMBER: _ClassVar[int]
    INSTANCES_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    height: int
    width: int
    classes: _containers.RepeatedCompositeFieldContainer[SegmentClass]
    mask: bytes
    overlay: bytes
    indices: bytes
    rle: _containers.RepeatedCompositeFieldContainer[RunLengthMask]
    polygons: _containers.RepeatedCompositeFieldContainer[ClassOutline]
    instances: _containers.RepeatedCompositeFieldContainer[ClassInstances]
    timing: Timing
    id: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., height: _Optional[int] = ..., width: _Optional[int] = ..., classes: _Optional[_Iterable[_Union[SegmentClass, _Mapping]]] = ..., mask: _Optional[bytes] = ..., overlay: _Optional[bytes] = ..., indices: _Optional[bytes] = ..., rle: _Optional[_Iterable[_Union[RunLengthMask, _Mapping]]] = ..., polygons: _Optional[_Iterable[_Union[ClassOutline, _Mapping]]] = ..., instances: _Optional[_Iterable[_Union[ClassInstances, _Mapping]]] = ..., timing: _Optional[_Union[Timing, _Mapping]] = ..., id: _Optional[str] = ...) -> None: ...

class SegmentBatchRequest(_message.Message):
    __slots__ = ("images", "model", "version", "output", "opacity", "id", "method", "label", "threshold")
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    OPACITY_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    images: _containers.RepeatedScalarFieldContainer[bytes]
    model: str
    version: str
    output: str
    opacity: float
    id: str
    method: str
    label: str
    threshold: float
    def __init__(self, images: _Optional[_Iterable[bytes]] = ..., model: _Optional[str] = ..., version: _Optional[str] = ..., output: _Optional[str] = ..., opacity: _Optional[float] = ..., id: _Optional[str] = ..., method: _Optional[str] = ..., label: _Optional[str] = ..., threshold: _Optional[float] = ...) -> None: ...

class SegmentTilesResponse(_message.Message):
    __slots__ = ("id", "tile", "answer")
    ID_FIELD_NUMBER: _ClassVar[int]
    TILE_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    id: str
    tile: SegmentTile
    answer: SegmentResponse
    def __init__(self, id: _Optional[str] = ..., tile: _Optional[_Union[SegmentTile, _Mapping]] = ..., answer: _Optional[_Union[SegmentResponse, _Mapping]] = ...) -> None: ...

class SegmentTile(_message.Message):
    __slots__ = ("number", "tiles", "left", "top", "width", "height", "mask")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TILES_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    number: int
    tiles: int
    left: int
    top: int
    width: int
    height: int
    mask: bytes
    def __init__(self, number: _Optional[int] = ..., tiles: _Optional[int] = ..., left: _Optional[int] = ..., top: _Optional[int] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., mask: _Optional[bytes] = ...) -> None: ...

class SegmentBatchResponse(_message.Message):
    __slots__ = ("model", "version", "results", "timing", "id")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    results: _containers.RepeatedCompositeFieldContainer[Segmented]
    timing: Timing
    id: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., results: _Optional[_Iterable[_Union[Segmented, _Mapping]]] = ..., timing: _Optional[_Union[Timing, _Mapping]] = ..., id: _Optional[str] = ...) -> None: ...

class SegmentStreamRequest(_message.Message):
    __slots__ = ("request", "skippable")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    SKIPPABLE_FIELD_NUMBER: _ClassVar[int]
    request: SegmentRequest
    skippable: bool
    def __init__(self, request: _Optional[_Union[SegmentRequest, _Mapping]] = ..., skippable: bool = ...) -> None: ...

class SegmentStreamResponse(_message.Message):
    __slots__ = ("id", "response", "error")
    ID_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    id: str
    response: SegmentResponse
    error: Error
    def __init__(self, id: _Optional[str] = ..., response: _Optional[_Union[SegmentResponse, _Mapping]] = ..., error: _Optional[_Union[Error, _Mapping]] = ...) -> None: ...

class Segmented(_message.Message):
    __slots__ = ("height", "width", "classes", "mask", "overlay", "indices", "rle", "polygons", "instances")
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    OVERLAY_FIELD_NUMBER: _ClassVar[int]
    INDICES_FIELD_NUMBER: _ClassVar[int]
    RLE_FIELD_NUMBER: _ClassVar[int]
    POLYGONS_FIELD_NUMBER: _ClassVar[int]
    INSTANCES_FIELD_NUMBER: _ClassVar[int]
    height: int
    width: int
    classes: _containers.RepeatedCompositeFieldContainer[SegmentClass]
    mask: bytes
    overlay: bytes
    indices: bytes
    rle: _containers.RepeatedCompositeFieldContainer[RunLengthMask]
    polygons: _containers.RepeatedCompositeFieldContainer[ClassOutline]
    instances: _containers.RepeatedCompositeFieldContainer[ClassInstances]
    def __init__(self, height: _Optional[int] = ..., width: _Optional[int] = ..., classes: _Optional[_Iterable[_Union[SegmentClass, _Mapping]]] = ..., mask: _Optional[bytes] = ..., overlay: _Optional[bytes] = ..., indices: _Optional[bytes] = ..., rle: _Optional[_Iterable[_Union[RunLengthMask, _Mapping]]] = ..., polygons: _Optional[_Iterable[_Union[ClassOutline, _Mapping]]] = ..., instances: _Optional[_Iterable[_Union[ClassInstances, _Mapping]]] = ...) -> None: ...

class SegmentClass(_message.Message):
    __slots__ = ("label", "index", "colour", "background", "pixels", "share", "confidence")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    COLOUR_FIELD_NUMBER: _ClassVar[int]
    BACKGROUND_FIELD_NUMBER: _ClassVar[int]
    PIXELS_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    label: str
    index: int
    colour: str
    background: bool
    pixels: int
    share: float
    confidence: float
    def __init__(self, label: _Optional[str] = ..., index: _Optional[int] = ..., colour: _Optional[str] = ..., background: bool = ..., pixels: _Optional[int] = ..., share: _Optional[float] = ..., confidence: _Optional[float] = ...) -> None: ...

class RunLengthMask(_message.Message):
    __slots__ = ("label", "index", "size", "counts")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    label: str
    index: int
    size: _containers.RepeatedScalarFieldContainer[int]
    counts: str
    def __init__(self, label: _Optional[str] = ..., index: _Optional[int] = ..., size: _Optional[_Iterable[int]] = ..., counts: _Optional[str] = ...) -> None: ...

class ClassOutline(_message.Message):
    __slots__ = ("label", "index", "type", "coordinates")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    COORDINATES_FIELD_NUMBER: _ClassVar[int]
    label: str
    index: int
    type: str
    coordinates: _containers.RepeatedCompositeFieldContainer[Polygon]
    def __init__(self, label: _Optional[str] = ..., index: _Optional[int] = ..., type: _Optional[str] = ..., coordinates: _Optional[_Iterable[_Union[Polygon, _Mapping]]] = ...) -> None: ...

class Polygon(_message.Message):
    __slots__ = ("rings",)
    RINGS_FIELD_NUMBER: _ClassVar[int]
    rings: _containers.RepeatedCompositeFieldContainer[Ring]
    def __init__(self, rings: _Optional[_Iterable[_Union[Ring, _Mapping]]] = ...) -> None: ...

class Ring(_message.Message):
    __slots__ = ("points",)
    POINTS_FIELD_NUMBER: _ClassVar[int]
    points: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, points: _Optional[_Iterable[int]] = ...) -> None: ...

class ClassInstances(_message.Message):
    __slots__ = ("label", "index", "count", "objects")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    OBJECTS_FIELD_NUMBER: _ClassVar[int]
    label: str
    index: int
    count: int
    objects: _containers.RepeatedCompositeFieldContainer[Instance]
    def __init__(self, label: _Optional[str] = ..., index: _Optional[int] = ..., count: _Optional[int] = ..., objects: _Optional[_Iterable[_Union[Instance, _Mapping]]] = ...) -> None: ...

class Instance(_message.Message):
    __slots__ = ("box", "pixels")
    BOX_FIELD_NUMBER: _ClassVar[int]
    PIXELS_FIELD_NUMBER: _ClassVar[int]
    box: _containers.RepeatedScalarFieldContainer[int]
    pixels: int
    def __init__(self, box: _Optional[_Iterable[int]] = ..., pixels: _Optional[int] = ...) -> None: ...

class GenerateRequest(_message.Message):
    __slots__ = ("count", "model", "version", "label", "seed", "steps", "guidance", "temperature", "truncation", "output", "id")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    GUIDANCE_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    TRUNCATION_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    count: int
    model: str
    version: str
    label: str
    seed: int
    steps: int
    guidance: float
    temperature: float
    truncation: float
    output: str
    id: str
    def __init__(self, count: _Optional[int] = ..., model: _Optional[str] = ..., version: _Optional[str] = ..., label: _Optional[str] = ..., seed: _Optional[int] = ..., steps: _Optional[int] = ..., guidance: _Optional[float] = ..., temperature: _Optional[float] = ..., truncation: _Optional[float] = ..., output: _Optional[str] = ..., id: _Optional[str] = ...) -> None: ...

class GenerateResponse(_message.Message):
    __slots__ = ("model", "version", "images", "grid", "height", "width", "labels", "seed", "steps", "timing", "id")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    GRID_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    images: _containers.RepeatedScalarFieldContainer[bytes]
    grid: bytes
    height: int
    width: int
    labels: _containers.RepeatedScalarFieldContainer[str]
    seed: int
    steps: int
    timing: Timing
    id: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., images: _Optional[_Iterable[bytes]] = ..., grid: _Optional[bytes] = ..., height: _Optional[int] = ..., width: _Optional[int] = ..., labels: _Optional[_Iterable[str]] = ..., seed: _Optional[int] = ..., steps: _Optional[int] = ..., timing: _Optional[_Union[Timing, _Mapping]] = ..., id: _Optional[str] = ...) -> None: ...

class GenerateStepsRequest(_message.Message):
    __slots__ = ("count", "model", "version", "label", "seed", "steps", "guidance", "temperature", "truncation", "output", "id", "every")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    GUIDANCE_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    TRUNCATION_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    EVERY_FIELD_NUMBER: _ClassVar[int]
    count: int
    model: str
    version: str
    label: str
    seed: int
    steps: int
    guidance: float
    temperature: float
    truncation: float
    output: str
    id: str
    every: int
    def __init__(self, count: _Optional[int] = ..., model: _Optional[str] = ..., version: _Optional[str] = ..., label: _Optional[str] = ..., seed: _Optional[int] = ..., steps: _Optional[int] = ..., guidance: _Optional[float] = ..., temperature: _Optional[float] = ..., truncation: _Optional[float] = ..., output: _Optional[str] = ..., id: _Optional[str] = ..., every: _Optional[int] = ...) -> None: ...

class GenerateStepsResponse(_message.Message):
    __slots__ = ("id", "preview", "answer")
    ID_FIELD_NUMBER: _ClassVar[int]
    PREVIEW_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    id: str
    preview: Preview
    answer: GenerateResponse
    def __init__(self, id: _Optional[str] = ..., preview: _Optional[_Union[Preview, _Mapping]] = ..., answer: _Optional[_Union[GenerateResponse, _Mapping]] = ...) -> None: ...

class Preview(_message.Message):
    __slots__ = ("step", "steps", "grid")
    STEP_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    GRID_FIELD_NUMBER: _ClassVar[int]
    step: int
    steps: int
    grid: bytes
    def __init__(self, step: _Optional[int] = ..., steps: _Optional[int] = ..., grid: _Optional[bytes] = ...) -> None: ...

class SearchRequest(_message.Message):
    __slots__ = ("image", "index", "k", "thumbnails", "model", "version", "id")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    THUMBNAILS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    image: bytes
    index: str
    k: int
    thumbnails: bool
    model: str
    version: str
    id: str
    def __init__(self, image: _Optional[bytes] = ..., index: _Optional[str] = ..., k: _Optional[int] = ..., thumbnails: bool = ..., model: _Optional[str] = ..., version: _Optional[str] = ..., id: _Optional[str] = ...) -> None: ...

class SearchResponse(_message.Message):
    __slots__ = ("model", "version", "index", "metric", "items", "results", "timing", "id")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    METRIC_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    index: str
    metric: str
    items: int
    results: _containers.RepeatedCompositeFieldContainer[FoundItem]
    timing: IndexTiming
    id: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., index: _Optional[str] = ..., metric: _Optional[str] = ..., items: _Optional[int] = ..., results: _Optional[_Iterable[_Union[FoundItem, _Mapping]]] = ..., timing: _Optional[_Union[IndexTiming, _Mapping]] = ..., id: _Optional[str] = ...) -> None: ...

class FoundItem(_message.Message):
    __slots__ = ("name", "distance", "similarity", "thumbnail")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DISTANCE_FIELD_NUMBER: _ClassVar[int]
    SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    THUMBNAIL_FIELD_NUMBER: _ClassVar[int]
    name: str
    distance: float
    similarity: float
    thumbnail: bytes
    def __init__(self, name: _Optional[str] = ..., distance: _Optional[float] = ..., similarity: _Optional[float] = ..., thumbnail: _Optional[bytes] = ...) -> None: ...

class SearchAddRequest(_message.Message):
    __slots__ = ("image", "index", "name", "model", "version", "id")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    image: bytes
    index: str
    name: str
    model: str
    version: str
    id: str
    def __init__(self, image: _Optional[bytes] = ..., index: _Optional[str] = ..., name: _Optional[str] = ..., model: _Optional[str] = ..., version: _Optional[str] = ..., id: _Optional[str] = ...) -> None: ...

class SearchAddResponse(_message.Message):
    __slots__ = ("model", "version", "index", "name", "replaced", "items", "timing", "id")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    REPLACED_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    index: str
    name: str
    replaced: bool
    items: int
    timing: IndexTiming
    id: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., index: _Optional[str] = ..., name: _Optional[str] = ..., replaced: bool = ..., items: _Optional[int] = ..., timing: _Optional[_Union[IndexTiming, _Mapping]] = ..., id: _Optional[str] = ...) -> None: ...

class SearchRemoveRequest(_message.Message):
    __slots__ = ("index", "name", "model", "version", "id")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    index: str
    name: str
    model: str
    version: str
    id: str
    def __init__(self, index: _Optional[str] = ..., name: _Optional[str] = ..., model: _Optional[str] = ..., version: _Optional[str] = ..., id: _Optional[str] = ...) -> None: ...

class SearchRemoveResponse(_message.Message):
    __slots__ = ("model", "version", "index", "name", "removed", "items", "timing", "id")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    index: str
    name: str
    removed: bool
    items: int
    timing: IndexTiming
    id: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., index: _Optional[str] = ..., name: _Optional[str] = ..., removed: bool = ..., items: _Optional[int] = ..., timing: _Optional[_Union[IndexTiming, _Mapping]] = ..., id: _Optional[str] = ...) -> None: ...

class IndexTiming(_message.Message):
    __slots__ = ("queue_ms", "decode_ms", "compute_ms", "index_ms")
    QUEUE_MS_FIELD_NUMBER: _ClassVar[int]
    DECODE_MS_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_MS_FIELD_NUMBER: _ClassVar[int]
    INDEX_MS_FIELD_NUMBER: _ClassVar[int]
    queue_ms: float
    decode_ms: float
    compute_ms: float
    index_ms: float
    def __init__(self, queue_ms: _Optional[float] = ..., decode_ms: _Optional[float] = ..., compute_ms: _Optional[float] = ..., index_ms: _Optional[float] = ...) -> None: ...

class Timing(_message.Message):
    __slots__ = ("queue_ms", "decode_ms", "compute_ms")
    QUEUE_MS_FIELD_NUMBER: _ClassVar[int]
    DECODE_MS_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_MS_FIELD_NUMBER: _ClassVar[int]
    queue_ms: float
    decode_ms: float
    compute_ms: float
    def __init__(self, queue_ms: _Optional[float] = ..., decode_ms: _Optional[float] = ..., compute_ms: _Optional[float] = ...) -> None: ...
