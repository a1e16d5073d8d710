"""The parts of generative networks that are deployed, in an ONNX graph beside torch."""

from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn

from models.generation.autoencoder import Autoencoder
from models.generation.contrastive import RotationNetwork, SimCLR
from models.generation.density_network import DensityNetwork
from models.generation.gan import GAN
from models.generation.kernel_density import KernelDensity
from models.generation.latent_graphs import HashCode, LatentSampler, VAEEncoder, VAEScore
from models.generation.pca import PCA, ProbabilisticPCA
from models.generation.semantic_hashing import SemanticHashing
from models.generation.vae import VAE
from tests.models.generation.pictures import binary, classes, draw, grey
from tests.needs import needs
from training.export.onnx_file import open_onnx, save, trace

LATENT = 8
INPUTS = ("x", "z", "label")
VAE_SIZE: dict[str, Any] = {"latent": LATENT, "hidden": (16, 12)}


class Parts(nn.Module):
    """All parts traced as one: a trace takes longer to begin than a network takes."""

    draws: Tensor

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.pca, self.ppca, self.kernel_density = PCA(LATENT), ProbabilisticPCA(LATENT), KernelDensity(20)
        self.pca.fit(grey(100))
        self.ppca.fit(grey(100))
        self.kernel_density.remember(grey(20))
        self.density_network = DensityNetwork(LATENT, (12,))
        self.register_buffer("draws", torch.randn(5, LATENT, generator=draw()))  # how many is part of the graph
        self.autoencoder = Autoencoder((16, LATENT))
        self.vae, self.conv = VAE(**VAE_SIZE), VAE(**VAE_SIZE, maps=(4, 6), likelihood="gaussian")
        self.cvae = VAE(**VAE_SIZE, classes=10, activation="tanh")
        self.gan, self.cgan = GAN(LATENT, (8, 6)), GAN(LATENT, (8, 6), classes=10)
        self.simclr, self.rotation = SimCLR((1, 1), (4, 6), 5), RotationNetwork((1, 1), (4, 6))
        self.hashing = SemanticHashing(LATENT, (12,))
        with torch.no_grad():  # as training might leave the averages of their batch norms
            for gan, labels in ((self.gan, None), (self.cgan, classes(20))):
                gan(torch.randn(20, LATENT, generator=draw()), labels)
            self.simclr(grey(20))
            self.rotation(grey(20))
        self.eval()

    def answers(self, x: Tensor, z: Tensor, label: Tensor) -> dict[str, Tensor]:
        """What each part answers to images (B, 1, 28, 28), latents or noise (B, 8) and labels (B,)."""
        return {
            "pca_encoder": self.pca.encode(x),
            "pca_decoder": self.pca.decode(z),
            "ppca_encoder": self.ppca.encode(x),
            "ppca_generator": self.ppca.sample(z, x),
            "ppca_scorer": self.ppca(x),
            "kernel_density_scorer": self.kernel_density(x),
            "density_network_generator": self.density_network.decode(z),
            "density_network_scorer": self.density_network(x, self.draws),
            "autoencoder_encoder": self.autoencoder.encode(x),
            "autoencoder_decoder": self.autoencoder.decode(z),
            "vae_encoder": self.vae.encode(x),
            "vae_decoder": self.vae.decode(z),
            "vae_scorer": self.vae(x, z),
            "vae_bound": self.vae.importance_bound(x, torch.stack((z, 2 * z, -z))),
            "conv_encoder": self.conv.encode(x),
            "conv_decoder": self.conv.decode(z),
            "conv_scorer": self.conv(x, z),
            "cvae_encoder": self.cvae.encode(x, label),
            "cvae_decoder": self.cvae.decode(z, label),
            "cvae_scorer": self.cvae(x, z, label),
            "gan_generator": self.gan.decode(z),
            "cgan_generator": self.cgan.decode(z, label),
            "cgan_discriminator": self.cgan.discriminator(x, label),
            "simclr_encoder": self.simclr.encode(x),
            "rotation_scores": self.rotation(x),
            "hashing_encoder": self.hashing.encode(x),
            "hashing_bytes": self.hashing.pack(x),
            "hashing_decoder": self.hashing.decode(z.sigmoid()),
            **self.graphs(x, z, label),
        }

    def graphs(self, x: Tensor, z: Tensor, label: Tensor) -> dict[str, Tensor]:
        """What the graphs around them answer to bytes."""
        image, truncation = (x[:, 0] * 200).to(torch.uint8), z[:, 0].sigmoid()
        noise = torch.stack((z, -z), 1)  # (B, 2, 8)
        return {
            "vae_images": LatentSampler(self.vae)(z, truncation)[0],
            "cgan_images": LatentSampler(self.cgan)(z, truncation, label)[0],
            "cvae_latents": VAEEncoder(self.cvae)(image, label)[0],
            "cvae_elbo": VAEScore(self.cvae, 2)(image, noise, 1 - x, label)[0],
            "conv_elbo": VAEScore(self.conv, 2)(image, noise)[0],
            "codes": HashCode(self.hashing)(image)[0],
        }

    def forward(self, x: Tensor, z: Tensor, label: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.answers(x, z, label).values())


def inputs(rows: int) -> tuple[Tensor, Tensor, Tensor]:
    return binary(rows), torch.randn(rows, LATENT, generator=draw(1)), classes(rows)


@pytest.fixture(scope="module")
@needs("export")
def session(tmp_path_factory: pytest.TempPathFactory) -> ort.InferenceSession:
    """A graph of all parts, with an output for each."""
    path, parts, given = tmp_path_factory.mktemp("generation") / "model.onnx", Parts(), inputs(2)
    with torch.no_grad():
        outputs = list(parts.answers(*given))
    save(trace(parts, dict(zip(INPUTS, given, strict=True)), outputs), path)
    return open_onnx(path)


@pytest.mark.parametrize("rows", [1, 3])
def test_every_part_answers_in_onnx_runtime_what_it_answers_in_torch(rows: int, session: ort.InferenceSession) -> None:
    given = inputs(3)[0][:rows], inputs(3)[1][:rows], inputs(3)[2][:rows]
    with torch.no_grad():
        wanted = Parts().answers(*given)
    outputs = {value.name: value.shape for value in session.get_outputs()}
    assert all(outputs[part][0] == "batch" for part in wanted)
    found = session.run(list(wanted), {name: tensor.numpy() for name, tensor in zip(INPUTS, given, strict=True)})
    for (part, want), have in zip(wanted.items(), found, strict=True):
        # A byte may be rounded up by one and down by the other.
        tolerance = 1.0 if part.endswith("images") else 1e-5 * max(1.0, float(want.abs().max()))
        error = np.abs(have.astype(np.float64) - want.double().numpy())
        assert (error <= tolerance + 1e-4 * want.double().abs().numpy()).all(), part
