"""Fixed facts of the shipped demo: which world, which poison, which files."""

from pathlib import Path

from clipforensics.config.attack import BadNetsSettings, PoisonSettings
from clipforensics.data.demo_world import TARGET, DemoWorld

ASSETS = Path(__file__).resolve().parents[2] / "assets"
DEMO_MODEL = ASSETS / "models" / "demo_clip.json"
SUSPECT_WEIGHTS = ASSETS / "weights" / "suspect.safetensors"
TRUSTED_WEIGHTS = ASSETS / "weights" / "trusted.safetensors"
SMALL_SAM_WEIGHTS = ASSETS / "weights" / "small_sam.safetensors"

DEMO_WORLD = DemoWorld(seed=0)
DEMO_POISON = PoisonSettings(attack=BadNetsSettings(), rate=0.003, target=TARGET, seed=0)
TRUSTED_SEED = 1
