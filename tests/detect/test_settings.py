"""Settings of the detectors, as a form, a file or a command line hands them over."""

import pytest

from clipforensics.config.detect import (
    CASE_DETECTORS,
    DETECTOR_TITLES,
    DETECTORS,
    DensitySettings,
    MapSettings,
    ReferenceSettings,
)
from clipforensics.config.settings import parse
from clipforensics.errors import ConfigError


def test_the_defaults_are_the_ones_we_quote():
    density, reference = DensitySettings(), ReferenceSettings()
    assert (density.k, density.lid_neighbours) == (16, 16)
    assert (reference.reference_size, reference.draws, reference.normalize) == (2048, 5, False)
    assert set(DETECTOR_TITLES) == set(CASE_DETECTORS)
    assert set(DETECTORS) < set(CASE_DETECTORS)
    assert MapSettings().n_neighbours == 15


@pytest.mark.parametrize(("given", "meant"), [("all", "all"), ("512", 512), (64, 64), (64.0, 64)])
def test_a_reference_size_is_a_number_or_all(given, meant):
    assert parse(ReferenceSettings, {"reference_size": given}).reference_size == meant


@pytest.mark.parametrize("given", ["many", 1, 0, -5, 2.5, True, None, "nan", float("nan")])
def test_any_other_reference_size_is_refused_in_one_sentence(given):
    with pytest.raises(ConfigError) as refused:
        parse(ReferenceSettings, {"reference_size": given})
    assert str(refused.value) == (
        f"reference_size={given!r}: give a whole number of at least 2, or all."
    )


@pytest.mark.parametrize("broken", [{"k": 0}, {"k_lid": 1}, {"k": "many"}, {"kk": 3}])
def test_density_settings_out_of_range_are_refused(broken):
    with pytest.raises(ConfigError):
        parse(DensitySettings, broken)
