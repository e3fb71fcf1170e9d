"""U-Net of adjustable depth, in 2D and 3D, and its FiLM variant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from torch import Tensor, nn

from ivadomed.errors import ModelError
from ivadomed.models.base import (
    Activation,
    Depth,
    Dropout,
    Filters,
    ModelBatch,
    Momentum,
    PoolingNetwork,
    Switch,
    network,
)
from ivadomed.models.blocks import DownConv, UpConv, activate, check_final_activation
from ivadomed.models.film import (
    Context,
    FiLMlayer,
    SharedWeights,
    film_input,
    film_layer,
    film_switches,
    freeze_shared_weights,
)
from ivadomed.registry.types import Doc


class Encoder(nn.Module):
    """Contracting path: per level a `DownConv`, an optional FiLM layer and a max pooling by 2.

    Args:
        in_channel: Channels of the image.
        depth: Number of pooling steps, at least 1.
        dropout_rate: See `DownConv`.
        bn_momentum: See `DownConv`.
        n_metadata: Length of the metadata vector; only with `film_layers`.
        film_layers: 0 or 1 per place: `depth` levels, bottom, then the decoder's places.
        is_2d: 2D, else 3D.
        n_filters: Channels of the first level; each level doubles them, the bottom keeps the last.
    """

    film_bottom: FiLMlayer | None

    def __init__(
        self,
        in_channel: int = 1,
        depth: int = 3,
        dropout_rate: float = 0.3,
        bn_momentum: float = 0.1,
        n_metadata: int | None = None,
        film_layers: Sequence[int] | None = None,
        is_2d: bool = True,
        n_filters: int = 64,
    ) -> None:
        super().__init__()
        if depth < 1:
            raise ModelError(f"depth: {depth} down-samplings; a U-Net needs at least 1.")
        self.depth = depth
        film = film_switches(film_layers, 2 * depth + 2)
        pool: type[nn.Module] = nn.MaxPool2d if is_2d else nn.MaxPool3d

        self.down_path = nn.ModuleList()
        width_in = in_channel
        for level in range(depth):
            width = n_filters * 2**level
            self.down_path.append(DownConv(width_in, width, dropout_rate, bn_momentum, is_2d))
            self.down_path.append(film_layer(n_metadata, width) if film[level] else None)  # type: ignore[arg-type]
            self.down_path.append(pool(2))
            width_in = width
        self.conv_bottom = DownConv(width_in, width_in, dropout_rate, bn_momentum, is_2d)
        self.film_bottom = film_layer(n_metadata, width_in) if film[depth] else None

    def forward(self, x: Tensor, context: Context | None = None) -> tuple[list[Tensor], SharedWeights | None]:
        """Return the features of each level, bottom last, and the weights shared by FiLM generators."""
        features = []
        w_film: SharedWeights | None = None
        for level in range(self.depth):
            conv, film, pool = self.down_path[3 * level : 3 * level + 3]
            x = conv(x)
            if film is not None:
                x, w_film = film(x, context, w_film)
            features.append(x)
            x = pool(x)
        x = self.conv_bottom(x)
        if self.film_bottom is not None:
            x, w_film = self.film_bottom(x, context, w_film)
        features.append(x)
        return features, w_film


class Decoder(nn.Module):
    """Expanding path: per level an `UpConv` and an optional FiLM layer, then the last convolution.

    Args:
        out_channel: Output classes; above 1 the first is the background, which the prediction leaves out.
        depth: Number of upsampling steps.
        dropout_rate: See `DownConv`.
        bn_momentum: See `DownConv`.
        n_metadata: See `Encoder`.
        film_layers: See `Encoder`; the last item is the place after the last convolution.
        hemis: The features are means and variances over contrasts, hence twice as many.
        final_activation: ``sigmoid``, ``relu`` (normalized) or ``softmax``.
        is_2d: 2D, else 3D.
        n_filters: Channels of the first level.
    """

    last_film: FiLMlayer | None

    def __init__(
        self,
        out_channel: int = 1,
        depth: int = 3,
        dropout_rate: float = 0.3,
        bn_momentum: float = 0.1,
        n_metadata: int | None = None,
        film_layers: Sequence[int] | None = None,
        hemis: bool = False,
        final_activation: str = "sigmoid",
        is_2d: bool = True,
        n_filters: int = 64,
    ) -> None:
        super().__init__()
        self.depth = depth
        self.out_channel = out_channel
        self.final_activation = check_final_activation(final_activation)
        film = film_switches(film_layers, 2 * depth + 2)
        conv: type[nn.Module] = nn.Conv2d if is_2d else nn.Conv3d
        statistics = 2 if hemis else 1

        self.up_path = nn.ModuleList()
        deep = n_filters * 2 ** (depth - 1) * statistics
        for step in range(depth):
            width = n_filters * 2 ** (depth - 1 - step)
            self.up_path.append(UpConv(deep + width * statistics, width, dropout_rate, bn_momentum, is_2d))
            place = depth + 1 + step
            self.up_path.append(film_layer(n_metadata, width) if film[place] else None)  # type: ignore[arg-type]
            deep = width
        self.last_conv = conv(deep, out_channel, kernel_size=3, padding=1)
        self.last_film = film_layer(n_metadata, out_channel) if film[-1] else None

    def forward(
        self, features: Sequence[Tensor], context: Context | None = None, w_film: SharedWeights | None = None
    ) -> tuple[Tensor, SharedWeights | None]:
        """Return the soft prediction for the features of `Encoder`, and the weights shared by FiLM generators."""
        x = features[-1]
        for step, skip in enumerate(reversed(features[:-1])):
            up, film = self.up_path[2 * step : 2 * step + 2]
            x = up(x, skip)
            if film is not None:
                x, w_film = film(x, context, w_film)
        x = self.last_conv(x)
        if self.last_film is not None:
            x, w_film = self.last_film(x, context, w_film)
        return activate(x, self.final_activation), w_film


@network
class Unet(PoolingNetwork):
    """U-Net (Ronneberger et al., 2015, arXiv:1505.04597).

    Args:
        in_channel: Channels of the image.
        out_channel: Output classes; above 1 the first is the background, which the prediction leaves out.
        depth: Number of pooling steps.
        dropout_rate: Probability that a feature map is dropped.
        bn_momentum: Momentum of the normalization layers.
        final_activation: ``sigmoid``, ``relu`` (normalized) or ``softmax``.
        is_2d: 2D, else 3D.
        n_filters: Channels of the first level.
        **kwargs: Other keys of the model section of a configuration, such as `folder_name`; they have no effect.

    Attributes:
        encoder: Contracting path.
        decoder: Expanding path.
    """

    def __init__(
        self,
        in_channel: int = 1,
        out_channel: int = 1,
        depth: Depth = 3,
        dropout_rate: Dropout = 0.3,
        bn_momentum: Momentum = 0.1,
        final_activation: Activation = "sigmoid",
        is_2d: bool = True,
        n_filters: Filters = 64,
        **kwargs: Any,
    ) -> None:
        self.refuse_unknown(kwargs)
        super().__init__()
        self.depth = depth
        shared = (depth, dropout_rate, bn_momentum)
        self.encoder = Encoder(in_channel, *shared, is_2d=is_2d, n_filters=n_filters)
        self.decoder = Decoder(
            out_channel, *shared, final_activation=final_activation, is_2d=is_2d, n_filters=n_filters
        )

    def forward(self, x: Tensor) -> Tensor:
        """``[B, in_channel, ...]`` -> soft prediction ``[B, 1 or out_channel - 1, ...]`` of the same size."""
        features, _ = self.encoder(x)
        return self.decoder(features)[0]


@network
class FiLMedUnet(Unet):
    """U-Net whose feature maps are modulated by the image's metadata (see `ivadomed.models.film`).

    Args:
        in_channel: See `Unet`, also for the arguments not listed here.
        n_metadata: Length of the metadata vector.
        film_layers: ``2 * depth + 2`` values, 0 or 1: encoder levels, bottom, decoder levels, output.
    """

    def __init__(
        self,
        in_channel: int = 1,
        out_channel: int = 1,
        depth: Depth = 3,
        dropout_rate: Dropout = 0.3,
        bn_momentum: Momentum = 0.1,
        n_metadata: int | None = None,
        film_layers: Annotated[
            tuple[Switch, ...] | None,
            Doc(
                "1 where FiLM modulates a layer, else 0; 2 * depth + 2 entries from input to output. null: every "
                "layer.",
                [0, 1, 0, 0, 0, 0, 0, 0],
            ),
        ] = None,
        is_2d: bool = True,
        n_filters: Filters = 64,
        final_activation: Activation = "sigmoid",
        **kwargs: Any,
    ) -> None:
        self.refuse_unknown(kwargs)
        nn.Module.__init__(self)
        film = film_switches(film_layers, 2 * depth + 2)
        self.depth = depth
        shared = (depth, dropout_rate, bn_momentum, n_metadata, film)
        self.encoder = Encoder(in_channel, *shared, is_2d, n_filters)
        self.decoder = Decoder(out_channel, *shared, False, final_activation, is_2d, n_filters)
        freeze_shared_weights(self)

    def inputs(self, batch: ModelBatch) -> tuple[Tensor, Tensor | None]:
        """Image and metadata ``[B, n_metadata]``."""
        return batch.image, batch.condition

    def condition_input(self) -> tuple[str, int] | None:
        """The metadata, see `ivadomed.models.film.film_input`."""
        return film_input(self)

    def forward(self, x: Tensor, context: Context | None = None) -> Tensor:
        """`Unet.forward`, modulated by `context` ``[B, n_metadata]`` (tensor or nested list)."""
        features, w_film = self.encoder(x, context)
        return self.decoder(features, context, w_film)[0]
