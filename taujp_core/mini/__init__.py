"""What belongs to `mini` alone? Its renderers, captions, pre-training and shipped files."""
