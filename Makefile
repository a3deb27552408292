.PHONY: run setup test bench demo-weights

PORT ?= 8501
PYTHON ?= python3
VENV := .venv
MADE := $(VENV)/.made

setup: $(MADE)

$(MADE): requirements.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --requirement requirements.txt
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $(MADE)

run: setup
	$(VENV)/bin/streamlit run app.py --server.port $(PORT)

test: setup
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --editable '.[dev]' --constraint requirements.txt
	scripts/check

bench: setup
	$(VENV)/bin/python -m clipforensics bench all

demo-weights: setup
	$(VENV)/bin/python -m clipforensics.jobs.attacking.demo_weights
