"""What a prediction means, in sentences for people; the verdict itself is the prediction's."""

from matnet_jax.predict.results import LABELS, NO_SEAM, Prediction


def meaning(prediction: Prediction) -> str:
    """What may, and what may not, be concluded."""
    if prediction.score is None:
        return "No face was scored, so nothing can be said about this file."
    if prediction.abstained:
        return (
            "The score lies where this detector is wrong too often to decide. It says neither fake "
            "nor real; a longer or sharper copy may help."
        )
    if prediction.label == LABELS[1]:
        return (
            "A person's score is over the threshold: the detector sees what it saw in forged "
            "faces. That is evidence, not proof; real faces are called fake at times."
        )
    below = "No person's score is over the threshold"
    if any(track.score > prediction.threshold for track in prediction.tracks):
        below = "Of those seen long enough to decide, no person's score is over the threshold"
    if prediction.finding == NO_SEAM:
        return f"{below}. That is less than calling the file real: {prediction.limits}."
    return (
        f"{below}, which was not fitted for this network. That is a hint, not proof that the file "
        "is real."
    )


def uncertainty(prediction: Prediction) -> str:
    """How sure the score is: its distance from what decides, and its spread over frames."""
    if prediction.score is None:
        return ""
    said = [f"Score {prediction.score:.3f}, threshold {prediction.threshold:.3f}"]
    if prediction.uncertain is not None:
        low, high = prediction.uncertain
        said.append(f"undecided from {low:.3f} to {high:.3f}")
    tracks = [track for track in prediction.tracks if track.score == prediction.score]
    scores = [face.score for track in tracks[:1] for face in track.faces]
    if len(scores) > 1:
        said.append(
            f"single frames of this person from {min(scores):.3f} to {max(scores):.3f} "
            f"({len(scores)} frames)"
        )
    elif scores:
        said.append("from one frame alone")
    return "; ".join(said) + "."
