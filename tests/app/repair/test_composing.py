"""The curated set, shown and edited before the launch."""


def test_the_curated_set_is_edited_before_the_launch(
    home, case, bank, launched, visit, monkeypatch
):
    """What is left out is in the command and in the run's config; another pair takes its place."""
    from clipforensics.jobs.repairing import curating

    # the tiny trusted model has learned nothing and would support one label at best
    monkeypatch.setattr(curating, "supporter", lambda case: None)
    small = {"pairs": 12, "batch": 4}
    at = visit("repair", case="tiny")
    at.segmented_control(key="recipe").set_value("finetune").run()
    for name, value in small.items():
        at.number_input(key=f"repair.finetune.quick.{name}").set_value(value).run()
    at.toggle(key="repair.curate.tiny").set_value(True).run()
    assert not at.exception
    leave = [one.key for one in at.button if one.key and one.key.startswith("repair.leave.")]
    assert leave
    at.button(key=leave[0]).click().run()
    after = [one.key for one in at.button if one.key and one.key.startswith("repair.leave.")]
    assert leave[0] not in after
    assert len(set(leave) & set(after)) == len(leave) - 1
    name = case.labels.named_in(case.pairs.captions[case.pairs.row_of(after[0].rsplit(".", 1)[1])])[
        0
    ]
    choose(at, name)
    shown = [one.key.rsplit(".", 1)[1] for one in at.button if one.key and "leave" in one.key]
    assert all(
        name not in case.labels.named_in(case.pairs.captions[case.pairs.row_of(one)])
        for one in shown
    )
    assert "left_out_pairs=" in at.code[0].value
    at.toggle(key="repair.curate.tiny").set_value(False).run()
    assert any("Left out by reviewers: 1 pair and 1 label." in one.value for one in at.text)
    at.button(key="repair.start").click().run()
    changes = launched[0].config["changes"]
    assert changes["left_out_pairs"] == [leave[0].rsplit(".", 1)[1]]
    assert changes["left_out_labels"] == [name]
    again = visit("repair", case="tiny", recipe="EftCLIP")  # a reload, or another tab
    again.number_input(key="repair.eftclip.quick.batch").set_value(4).run()
    again.toggle(key="repair.curate.tiny").set_value(True).run()
    (pair,) = changes["left_out_pairs"]
    again.button(key=f"repair.put_back.pairs.{pair}").click().run()
    again.button(key=f"repair.put_back.labels.{name}").click().run()
    assert not again.exception
    assert "left_out" not in again.code[0].value
    said = [(one.action, one.kind) for one in case.store.entries()]
    assert said[-4:] == [
        ("decide", "curated pair"), ("decide", "curated label"),
        ("withdraw", "curated pair"), ("withdraw", "curated label"),
    ]  # fmt: skip
    assert not case.store.current("sample")  # left out is no verdict on the pair


def choose(at, name):
    """Leave a label out by the box that offers them."""
    (box,) = [one for one in at.selectbox if one.label == "Leave out a label"]
    assert box.value is None
    assert name in box.options
    box.set_value(name).run()
    (box,) = [one for one in at.selectbox if one.label == "Leave out a label"]
    assert box.value is None
    assert name not in box.options


def test_nothing_is_put_back_but_by_its_own_button(case, bank, launched, visit):
    """Two tabs: what one leaves out, the other neither puts back nor leaves out again."""
    one, two = (visit("repair", case="tiny") for _ in range(2))
    names = list(case.labels.names[:2])
    for at in (one, two):
        at.toggle(key="repair.curate.tiny").set_value(True).run()
    choose(one, names[0])
    (box,) = [each for each in two.selectbox if each.label == "Leave out a label"]
    box.set_value(names[0]).run()  # it is drawn as it was before
    choose(two, names[1])
    one.run()
    assert [entry.action for entry in case.store.entries()] == ["decide", "decide"]
    assert list(case.store.current("curated label")) == names
    one.button(key=f"repair.put_back.labels.{names[0]}").click().run()
    assert list(case.store.current("curated label")) == names[1:]


def test_what_the_log_leaves_out_of_another_case_is_ignored_aloud(case, bank, launched, visit):
    held = case.pairs.ids[0]
    case.store.decide_many("curated pair", ["<b>nobody</b>", held], "left out", "ann")
    case.store.decide("curated label", "mauve", "left out", "ann")
    at = visit("repair", case="tiny")
    assert (
        "2 left-out pairs or labels in the decision log are not in this case" in at.error[0].value
    )
    assert "<b>" not in at.error[0].value.replace("\\<", "")
    assert f'left_out_pairs=["{held}"]' in at.code[0].value
    assert "left_out_labels" not in at.code[0].value


def test_a_set_below_one_batch_is_told_before_the_launch(
    home, case, bank, launched, visit, monkeypatch
):
    """So few pairs pass that the batch is not filled, whatever was asked for."""
    from clipforensics.jobs.repairing import curating

    monkeypatch.setattr(curating, "supporter", lambda case: None)
    at = visit("repair", case="tiny")
    at.toggle(key="repair.curate.tiny").set_value(True).run()
    assert not at.exception
    assert any("fewer than one batch of 128" in one.value for one in at.warning)
    assert not any(one.key == "repair.start" for one in at.button)


def test_what_is_never_learned_from_is_counted(case, bank, launched, visit):
    case.store.decide("sample", case.pairs.ids[7], "suspicious", "ann")
    at = visit("repair", case="tiny")  # the hunt names a victim and a probable pair
    assert any("1 pair picked, 2 named by the hunt" in one.value for one in at.text)
    case.store.decide("sample", case.pairs.ids[0], "benign", "ann")
    at = visit("repair", case="tiny")
    assert any("1 pair picked, 1 named by the hunt" in one.value for one in at.text)


def test_without_picks_and_without_a_hunt_the_page_says_who_decides(home, launched, visit):
    at = visit("repair", case="tiny")
    at.segmented_control(key="recipe").set_value("finetune").run()
    said = "No pair was picked on Map or Review, and no hunt names one: low scores and the trusted"
    assert any(one.value.startswith(said) for one in at.text)
    assert any(one.key == "repair.start" for one in at.button)
