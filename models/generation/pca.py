"""PCA and probabilistic PCA (DL 20.1; MP 8; CV V; Pearson 1901; Tipping and Bishop 1999, J. R. Stat. Soc. B 61)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.variant import Variant

CHUNK = 4096  # images whose products are summed at a time, in 64 bits


class PCA(nn.Module):
    """The linear autoencoder of least squared error: z = U^T (x - mu), x = U z + mu.

    The columns of U (D, d) are the eigenvectors of the images' covariance with the ``components`` largest eigenvalues,
    ``eigenvalues`` (d,), the variances along them. All are buffers that `fit` computes; there is nothing to descend.

    Raises:
        ValueError: images of ``shape`` do not have so many components.
    """

    U: Tensor
    mu: Tensor
    eigenvalues: Tensor

    def __init__(self, components: int = 32, shape: Sequence[int] = (1, 28, 28)) -> None:
        super().__init__()
        self.shape, inputs = tuple(shape), math.prod(shape)
        if not 1 <= components <= inputs:
            raise ValueError(f"components is {components}; images of {inputs} values allow 1 to {inputs}")
        self.register_buffer("U", torch.eye(inputs, components))
        self.register_buffer("mu", torch.zeros(inputs))
        self.register_buffer("eigenvalues", torch.ones(components))

    def fit(self, x: Tensor) -> None:
        """Solve for images (N, C, H, W)."""
        mu, eigenvalues, eigenvectors = decompose(x)
        components = self.U.shape[1]
        self.mu.copy_(mu)
        self.U.copy_(eigenvectors[:, :components])
        self.eigenvalues.copy_(eigenvalues[:components])

    def encode(self, x: Tensor) -> Tensor:
        """Principal components z (B, d) of images (B, C, H, W)."""
        return (x.flatten(1) - self.mu) @ self.U  # (B, D) -> (B, d)

    def decode(self, z: Tensor) -> Tensor:
        """Images (B, C, H, W) of components z (B, d)."""
        return (z @ self.U.T + self.mu).reshape(-1, *self.shape)  # (B, d) -> (B, D) -> (B, C, H, W)

    def forward(self, x: Tensor) -> Tensor:
        """The images (B, C, H, W) nearest to ``x`` that the components can give."""
        return self.decode(self.encode(x))

    def examples(self, rows: int) -> dict[str, Tensor]:
        """The arguments of `forward` for ``rows`` images of 0."""
        return {"x": torch.zeros(rows, *self.shape)}


class ProbabilisticPCA(nn.Module):
    """The Gaussian x = W z + mu + sigma eps, z and eps standard normal; z is the paper's x, and x its t.

    p(x) = N(mu, C) with C = W W^T + sigma^2 I (eq. 4), and p(z | x) = N(M^-1 W^T (x - mu), sigma^2 M^-1) with
    M = W^T W + sigma^2 I (eq. 6). `fit` finds the parameters of maximum likelihood in closed form, `assign` takes any.

    Raises:
        ValueError: ``components`` does not leave a dimension of ``shape`` for the noise.
    """

    W: Tensor
    mu: Tensor
    sigma2: Tensor
    posterior: Tensor
    log_normaliser: Tensor

    def __init__(self, components: int = 64, shape: Sequence[int] = (1, 28, 28)) -> None:
        super().__init__()
        self.shape, inputs = tuple(shape), math.prod(shape)
        if not 1 <= components < inputs:
            raise ValueError(f"components is {components}; images of {inputs} values allow 1 to {inputs - 1}")
        self.register_buffer("W", torch.zeros(inputs, components))
        self.register_buffer("mu", torch.zeros(inputs))
        self.register_buffer("sigma2", torch.ones(()))
        self.register_buffer("posterior", torch.zeros(inputs, components))  # W M^-1, so that <z> = (x - mu) W M^-1
        self.register_buffer("log_normaliser", torch.zeros(()))
        self.assign(self.mu, self.W, self.sigma2)

    def fit(self, x: Tensor) -> None:
        """Solve for images (N, C, H, W): W = U (Lambda - sigma^2 I)^1/2, sigma^2 the mean of the other eigenvalues.

        These are equations 7 and 8, with the arbitrary rotation R = I.

        Raises:
            ValueError: the images vary in no more dimensions than there are components, so sigma^2 is 0.
        """
        mu, eigenvalues, eigenvectors = decompose(x)
        components = self.W.shape[1]
        sigma2 = eigenvalues[components:].mean()
        if not sigma2 > torch.finfo(torch.float32).eps * eigenvalues[0]:
            raise ValueError(f"the {len(x)} images leave no variance beside {components} components; fit more images")
        scales = (eigenvalues[:components] - sigma2).clamp(min=0).sqrt()  # (d,)
        self.assign(mu, eigenvectors[:, :components] * scales, sigma2)

    def assign(self, mu: Tensor, w: Tensor, sigma2: Tensor) -> None:
        """Take mu (D,), W (D, d) and sigma^2 (), and compute in 64 bits what the density needs of them."""
        inputs, components = self.W.shape
        w, sigma2 = w.double(), sigma2.double()
        m = w.T @ w + sigma2 * torch.eye(components, dtype=w.dtype, device=w.device)  # (d, d)
        log_c = (inputs - components) * sigma2.log() + torch.logdet(m)  # log |C|
        self.mu.copy_(mu)
        self.W.copy_(w)
        self.sigma2.copy_(sigma2)
        self.posterior.copy_(torch.linalg.solve(m, w.T).T)
        self.log_normaliser.copy_(-(inputs * math.log(2 * math.pi) + log_c) / 2)

    def encode(self, x: Tensor) -> Tensor:
        """The posterior mean of z, (B, d), of images (B, C, H, W)."""
        return (x.flatten(1) - self.mu) @ self.posterior

    def decode(self, z: Tensor) -> Tensor:
        """The mean of p(x | z), images (B, C, H, W), of latents z (B, d)."""
        return (z @ self.W.T + self.mu).reshape(-1, *self.shape)

    def sample(self, z: Tensor, eps: Tensor) -> Tensor:
        """Images (B, C, H, W) of standard normal z (B, d) and eps (B, C, H, W)."""
        return self.decode(z) + self.sigma2.sqrt() * eps

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) (B,) in nats of images (B, C, H, W).

        (x - mu)^T C^-1 (x - mu) is |x - mu - W z|^2 / sigma^2 + |z|^2 at the posterior mean z: two positive terms,
        where the difference of the usual form would lose its digits.
        """
        z = self.encode(x)  # (B, d)
        error = (x - self.decode(z)).flatten(1)  # (B, D)
        return self.log_normaliser - (error.square().sum(1) / self.sigma2 + z.square().sum(1)) / 2

    def forward(self, x: Tensor) -> Tensor:
        """See `log_prob`."""
        return self.log_prob(x)

    def examples(self, rows: int) -> dict[str, Tensor]:
        """The arguments of `forward` for ``rows`` images of 0."""
        return {"x": torch.zeros(rows, *self.shape)}


def decompose(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (D,), eigenvalues (D,) and eigenvectors (D, D) of the covariance 1/N sum (x - mu)(x - mu)^T, in 64 bits.

    ``x`` (N, C, H, W) has D = C H W values an image. Eigenvalues fall, and each eigenvector is a column whose largest
    value is positive, so that the answer is always the same.

    Raises:
        ValueError: there are fewer than two images.
    """
    if len(x) < 2:
        raise ValueError(f"there are {len(x)} images; a covariance needs at least 2")
    mu = x.flatten(1).mean(0, dtype=torch.float64)  # (D,)
    covariance = mu.new_zeros(len(mu), len(mu))
    for start in range(0, len(x), CHUNK):
        centred = x[start : start + CHUNK].flatten(1).double() - mu
        covariance += centred.T @ centred
    eigenvalues, eigenvectors = torch.linalg.eigh(covariance / len(x))  # rising
    eigenvalues, eigenvectors = eigenvalues.flip(0).clamp(min=0), eigenvectors.flip(1)
    largest = eigenvectors.gather(0, eigenvectors.abs().argmax(0, keepdim=True))  # (1, D)
    return mu, eigenvalues, eigenvectors * largest.sign()


VARIANTS = (
    Variant(
        name="pca",
        family=PCA,
        config={"components": 32, "shape": (1, 28, 28)},
        input_shape=(1, 28, 28),
        parameters=0,
        macs=50_176,
        title="PCA, 32 components",
        lecture="DL 20.1, Autoencoder vs PCA; Pearson 1901",
        description="The best linear code: an image is its mean plus a few directions, those in which the images vary "
        "most.",
    ),
    Variant(
        name="ppca",
        family=ProbabilisticPCA,
        config={"components": 64, "shape": (1, 28, 28)},
        input_shape=(1, 28, 28),
        parameters=0,
        macs=100_352,
        title="Probabilistic PCA, 64 latents",
        lecture="CV V, Probabilistic principal component analysis; Tipping and Bishop 1999",
        description="A Gaussian with few directions of its own and equal noise in all others: the linear model of "
        "latent variables, whose maximum likelihood is known in closed form.",
    ),
)
