"""The tests that demand equal bits, since the same kernel runs on the same shapes twice.

No other test may hang on the last bit of a product or a sum: `DA3_LAST_BIT=SEED pytest` changes
it and leaves these out. At most ten.
"""

_TWICE = 'one process does the same work on the same numbers twice'

SAME_KERNEL: dict[str, str] = {
    'test/cli/test_recordings.py::test_synthesize_gives_the_same_bytes_twice': (
        f'a bag that can be told by its hash; {_TWICE}'
    ),
    'test/export/test_colmap.py::test_binary_and_text_say_the_same': (
        f'the text is read back to the same 64 bits; {_TWICE}'
    ),
    'test/export/test_gs_video.py::test_the_chunk_size_and_a_second_run_change_nothing': (
        'each picture is rendered by itself, and the coding of the video hands on a last bit as '
        f'levels; {_TWICE}'
    ),
    'test/export/test_registry.py::'
    'test_all_formats_together_write_what_they_declare_and_the_same_twice': (
        f'exports are deterministic; {_TWICE}'
    ),
    'test/export/test_registry.py::'
    'test_overwriting_leaves_what_a_fresh_export_writes_and_images_of_others': (
        f'nothing of the older files is left; {_TWICE}'
    ),
    'test/inference/test_prediction_export.py::'
    'test_equal_predictions_give_equal_bytes_and_arrays_are_not_touched': (
        f'exports are deterministic; {_TWICE}'
    ),
    'test/inference/test_prediction_export.py::test_inference_writes_what_its_prediction_would': (
        f'one prediction is written on two ways; {_TWICE}'
    ),
    'test/model/test_laws.py::'
    'test_ray_poses_are_the_same_twice_and_leave_the_global_generator_alone': (
        f'the random fit draws from a seed of its own; {_TWICE}'
    ),
    'test/stream/test_exactness.py::test_equal_input_gives_equal_bytes_twice': (
        f'offline processing gives the same bytes twice; {_TWICE}'
    ),
    'test/training/test_run.py::test_a_resumed_run_is_the_run_that_was_never_interrupted': (
        f'training is resumed without a trace, where chaos would show any difference; {_TWICE}'
    ),
}
"""Name of the test to the reason why the same kernel provably runs."""
