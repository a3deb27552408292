"""The Case page, as its user sees it."""


def test_it_shows_what_is_under_examination(home, visit):
    at = visit()
    assert [metric.label for metric in at.metric][:2] == ["Pairs", "Labels"]
    assert at.metric[0].value == "240"
    assert "The scan is finished" in at.markdown[-1].value or any(
        "scan is finished" in one.value for one in at.markdown
    )
