"""Values of hyperparameters, and the resulting configurations."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from itertools import product
from typing import Any

from ivadomed.errors import ConfigError
from ivadomed.jobs import content_id

SAMPLERS = ("random", "tpe")
"""Ways to draw values in a search."""

log = logging.getLogger(__name__)

_LONGEST = 180
"""Maximum length of a value's part in folder names of ivadomed 2; file systems allow 255 in total."""

_LONGEST_NAME = 120
"""Maximum length of all values' part in folder names of a sweep."""

_UNSAFE = re.compile(r"[^\w.+=-]+")
"""Characters with a special meaning in a shell, and the comma, which separates options."""


class HyperparameterOption:
    """One value of one hyperparameter.

    Args:
        base_key: Key whose value is replaced, e.g. "loss".
        option: Value at its place in the configuration, e.g.
            ``{"training_parameters": {"loss": {"name": "DiceLoss"}}}``.
        base_option: Value alone, e.g. ``{"name": "DiceLoss"}``.

    Attributes:
        name: Part of the output folder's name, e.g. "-depth-3".
    """

    def __init__(self, base_key: Any = None, option: Any = None, base_option: Any = None) -> None:
        self.base_key, self.option, self.base_option = base_key, option, base_option
        self.name: str = ""
        self.create_name_str()

    def create_name_str(self) -> None:
        """Set ``name``."""
        self.name = self.written("-")

    def written(self, between: str) -> str:
        """Key and value with a separator, as part of a folder name."""
        text = f"-{self.base_key}{between}{self.base_option}".replace("/", "_")
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}~{content_id(self.base_option)[:6]}"

    @property
    def path(self) -> tuple[str, ...]:
        """Path of keys to the value in the configuration."""
        keys: list[str] = []
        node = self.option
        while isinstance(node, Mapping) and len(node) == 1:
            [(key, node)] = node.items()
            keys.append(key)
            if key == self.base_key:
                break
        return tuple(keys)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, HyperparameterOption)
            and self.base_key == other.base_key
            and self.option == other.option
        )

    def __hash__(self) -> int:
        return hash((self.base_key, content_id(self.option)))

    def __repr__(self) -> str:
        return f"HyperparameterOption({self.base_key!r}, {self.option!r}, {self.base_option!r})"


def get_param_list(
    my_dict: Mapping[str, Any], param_list: list[HyperparameterOption], superkeys: Sequence[str]
) -> list[HyperparameterOption]:
    """Options of a parameter file, in which every list holds the values of its key.

    Args:
        my_dict: Content of the file, or a section of it.
        param_list: Preceding options; not changed.
        superkeys: Path of keys to the section.

    Returns:
        ``param_list`` and the options of the section, in the order of the file.

    Raises:
        ConfigError: A key has neither a list of values nor a section, or the list is empty.
    """
    found = list(param_list)
    for key, value in my_dict.items():
        place = ".".join([*superkeys, key])
        if isinstance(value, Mapping) and value:
            found = get_param_list(value, found, [*superkeys, key])
        elif isinstance(value, list) and value:
            found += [option_at([*superkeys, key], element) for element in value]
        else:
            raise ConfigError(
                f"{place}: {value!r}; expected a list of values to compare, such as [{value!r}]"
            )
    return found


def option_at(path: Sequence[str], value: Any) -> HyperparameterOption:
    """Option that sets the key at ``path``."""
    nested = value
    for key in reversed(path):
        nested = {key: nested}
    return HyperparameterOption(path[-1], nested, value)


def update_dict(d: Mapping[str, Any], u: Mapping[str, Any], base_key: str) -> dict[str, Any]:
    """Copy of ``d`` updated with the values of ``u``; the value of ``base_key`` is replaced as a whole.

    >>> update_dict({"foo": {"bar": 1, "baz": {"zag": 5}}}, {"foo": {"baz": {"zag": 7}}}, "zag")
    {'foo': {'bar': 1, 'baz': {'zag': 7}}}
    >>> update_dict({"foo": {"bar": 1, "baz": {"zag": 5}}}, {"foo": {"baz": {"zag": 7}}}, "foo")
    {'foo': {'baz': {'zag': 7}}}

    Args:
        d: A configuration; not changed.
        u: The change, e.g. ``HyperparameterOption.option``.
        base_key: See above.
    """
    result = deepcopy(dict(d))
    for key, value in u.items():
        if key != base_key and isinstance(value, Mapping):
            below = result.get(key)
            result[key] = update_dict(below if isinstance(below, Mapping) else {}, value, base_key)
        else:
            result[key] = deepcopy(value)
    return result


def get_base_keys(hyperparam_list: Iterable[HyperparameterOption]) -> list[Any]:
    """Unique base keys, in order."""
    return list(dict.fromkeys(option.base_key for option in hyperparam_list))


def keys_are_unique(hyperparam_list: Iterable[HyperparameterOption]) -> bool:
    """True if no two options have the same base key."""
    keys = [option.base_key for option in hyperparam_list]
    return len(keys) == len(set(keys))


def make_config_list(
    param_list: Sequence[HyperparameterOption],
    initial_config: Mapping[str, Any],
    all_combin: bool,
    multi_params: bool,
    named: Callable[[Sequence[HyperparameterOption]], str] | None = None,
) -> list[dict[str, Any]]:
    """Configurations to compare.

    Args:
        param_list: All options.
        initial_config: Configuration to modify; not changed itself.
        all_combin: Use all combinations of the options of different keys.
        multi_params: Combine the first options of all keys, then the second ones, ... up to the shortest list.
            Ignored with ``all_combin``. With neither: one option at a time, all else as in ``initial_config``.
        named: Function for the part of ``path_output`` added by options; None: key and value as in 2.9.10, separated
            by "=". A sweep uses ``folder_name``.

    Returns:
        Configurations, each with a ``path_output`` named after its options.
    """
    configs = [
        with_options(initial_config, chosen, named or _name_of_2)
        for chosen in combinations(param_list, all_combin, multi_params)
    ]
    # Keys of the same name in different sections may have the same value.
    owners = {config["path_output"]: config for config in reversed(configs)}
    for config in configs:
        if config != owners[config["path_output"]]:
            config["path_output"] += f"~{content_id(config)[:6]}"
    return configs


def combinations(
    param_list: Sequence[HyperparameterOption], all_combin: bool, multi_params: bool
) -> list[tuple[HyperparameterOption, ...]]:
    """Options of each configuration; see ``make_config_list``."""
    # Keys of different sections may have the same name.
    groups: dict[tuple[str, ...], list[HyperparameterOption]] = {}
    for option in dict.fromkeys(param_list):
        groups.setdefault(option.path, []).append(option)
    if all_combin:
        return list(product(*groups.values()))
    if not multi_params:
        return [(option,) for option in dict.fromkeys(param_list)]
    shortest = min(map(len, groups.values()), default=0)
    for path, options in groups.items():
        if len(options) > shortest:
            log.warning(
                "%s: %d of its %d values are left out, as another key has only %d.",
                ".".join(path),
                len(options) - shortest,
                len(options),
                shortest,
            )
    return list(zip(*(options[:shortest] for options in groups.values()), strict=True))


def with_options(
    config: Mapping[str, Any],
    options: Sequence[HyperparameterOption],
    named: Callable[[Sequence[HyperparameterOption]], str],
) -> dict[str, Any]:
    """Configuration with options applied; its ``path_output`` is named after them."""
    changed = deepcopy(dict(config))
    path_output = changed["path_output"] + named(options)
    for option in options:
        changed = update_dict(changed, option.option, option.base_key)
    return changed | {"path_output": path_output}


def folder_name(options: Sequence[HyperparameterOption]) -> str:
    """Part of a run's folder name added by options: short, without special characters of a shell.

    >>> folder_name([option_at(["loss"], {"name": "FocalLoss", "gamma": 2}), option_at(["size"], [32, 48])])
    '-loss=FocalLoss-gamma=2,size=32x48'
    """
    text = ",".join(
        f"{_UNSAFE.sub('_', str(option.base_key))}={_word(option.base_option)}" for option in options
    )
    if len(text) > _LONGEST_NAME:
        text = f"{text[: _LONGEST_NAME - 7]}-{content_id([option.option for option in options])[:6]}"
    return f"-{text}"


def _word(value: Any) -> str:
    """A value as part of a folder name."""
    if isinstance(value, Mapping):
        parts = [_word(value["name"])] if "name" in value else []
        text = "-".join([*parts, *(f"{key}={_word(v)}" for key, v in value.items() if key != "name")])
    elif isinstance(value, list | tuple):
        between = "x" if all(isinstance(v, int | float) for v in value) else "+"
        text = between.join(map(_word, value))
    else:
        text = str(value)
    return _UNSAFE.sub("_", text) or "none"


def _name_of_2(options: Sequence[HyperparameterOption]) -> str:
    return "".join(option.written("=") for option in options)


def value_at(config: Mapping[str, Any], path: Sequence[str]) -> Any:
    """Value of a configuration at a path of keys; NaN, an empty table cell, if missing."""
    node: Any = config
    for key in path:
        if not isinstance(node, Mapping) or key not in node:
            return math.nan
        node = node[key]
    return node
