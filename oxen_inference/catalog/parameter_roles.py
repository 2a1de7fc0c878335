"""What each parameter of a model does to the price of a call, by its name.

One table for all models: real schemas call the same thing by many names. A name that is not in it
may do anything, so a number under such a name leaves the price unknown (see `pricing`).
"""

from __future__ import annotations

import re
from enum import Enum, auto
from functools import lru_cache


class Role(Enum):
    """What a parameter does to the price."""

    NEUTRAL = auto()
    """Nothing."""
    COUNT = auto()
    """Says how many results one call makes."""
    COUNT_LIMIT = auto()
    """Says how many results one call makes at the most."""
    PROMPT_LIST = auto()
    """A list whose items may each make a result, or a part of it."""
    PROMPT = auto()
    """Says what to make; in an item of a list it marks a prompt list of any name."""
    DURATION = auto()
    """Says how long a result is: seconds, or milliseconds where the name ends in ``_ms``."""
    FRAMES = auto()
    FRAME_RATE = auto()
    FOLLOWS_INPUT = auto()
    """A switch that makes a result as long as its input."""
    INPUT_SECTION = auto()
    """Chooses a part of the input, whose length is the result's."""
    TIMED_INPUT = auto()
    """A video or audio input: without a duration, a result is as long as it."""
    RESOLUTION = auto()
    WIDTH = auto()
    HEIGHT = auto()
    QUALITY = auto()
    AUDIO = auto()
    """Turns the audio of a video on and off."""


_NAMES: dict[Role, str] = {
    Role.COUNT: """
        n count quantity samples batch_size batch_count
        num_images num_image num_outputs num_videos num_samples num_results num_clips num_audios
        num_variations num_variants num_songs number_of_images number_of_outputs number_of_videos
        number_of_samples number_of_results number_of_variations n_images n_samples n_videos
        image_count images_count video_count output_count sample_count result_count
        images_per_prompt outputs_per_prompt videos_per_prompt samples_per_prompt
        num_images_per_prompt num_outputs_per_prompt num_videos_per_prompt
        variants variations copies
    """,
    Role.COUNT_LIMIT: "max_images max_outputs max_videos max_samples max_results",
    Role.PROMPT_LIST: """
        prompts multi_prompt multi_prompts prompt_list shots scenes segments storyboard chapters
        panels slides pages seeds
    """,
    Role.PROMPT: "prompt text script caption lyrics text_prompt video_prompt image_prompt",
    Role.DURATION: """
        duration seconds length duration_seconds duration_in_seconds duration_s duration_sec
        duration_secs duration_ms video_duration clip_duration output_duration audio_duration
        target_duration total_duration num_seconds seconds_total video_seconds clip_seconds
        video_length clip_length output_length audio_length video_length_seconds length_seconds
        length_ms music_length music_length_ms music_length_seconds music_duration song_duration
        song_length audio_length_ms audio_duration_ms
    """,
    Role.FRAMES: """
        num_frames frames n_frames number_of_frames total_frames video_frames frame_count
        video_frames_count
    """,
    Role.FRAME_RATE: """
        fps frames_per_second frame_rate output_fps target_fps video_fps output_frame_rate
        target_frame_rate
    """,
    Role.FOLLOWS_INPUT: """
        match_audio_length match_input_length match_video_length match_audio_duration
        match_input_duration match_video_duration keep_input_length keep_duration
        keep_original_length keep_original_duration follow_input_length use_input_length
        use_audio_length
    """,
    Role.INPUT_SECTION: """
        start_time retake_start_time retake_duration video_start_time audio_start_time
        clip_start_time trim_start_time end_time trim_end_time
    """,
    Role.TIMED_INPUT: """
        input_video input_videos input_video_url input_video_urls input_face_videos video videos
        video_url video_urls video_file reference_video reference_videos reference_video_url
        reference_video_urls source_video source_video_url driving_video driving_video_url
        input_audio input_audios input_audio_url input_audio_urls audio_url audio_urls audio_file
        reference_audio reference_audios reference_audio_url reference_audio_urls
    """,
    Role.RESOLUTION: """
        resolution size image_size video_size output_size target_size frame_size image_resolution
        video_resolution output_resolution target_resolution megapixels megapixel image_megapixels
        output_megapixels definition video_definition
    """,
    Role.WIDTH: "width",
    Role.HEIGHT: "height",
    Role.QUALITY: """
        quality image_quality video_quality output_quality render_quality rendering_quality
    """,
    Role.AUDIO: """
        audio sound sfx generate_audio generate_sound generate_sfx with_audio with_sound
        enable_audio enable_sound add_audio add_sound include_audio include_sound use_audio
        produce_audio native_audio generate_native_audio enable_native_audio audio_enabled
        audio_on audio_generation sound_enabled sound_generation
    """,
    Role.NEUTRAL: """
        model stream user voice voice_id style language format negative_prompt negative_prompts
        response_format output_format output_encoder output_profile target_namespace target_repo
        target_directory save_to_workbench num_generations
        seed noise_seed steps num_steps num_inference_steps inference_steps sample_steps
        sampling_steps num_sampling_steps scheduler sampler
        guidance guidance_scale guidance_scale_2 cfg cfg_scale cfg_rescale true_cfg_scale shift
        flow_shift eta sigma strength image_strength prompt_strength control_strength
        edit_strength enhancement_strength video_conditioning_strength
        conditioning_attention_strength image_conditioning_strength lora_scale lora_strength
        denoise denoising_strength noise_level temperature top_k top_p min_p repetition_penalty
        max_tokens max_sequence_length
        creativity texture resemblance detail sharp sharpen sharpness similarity stability
        style_strength stylize weirdness chaos magic speed volume pitch loudness
        sample_rate sampling_rate bitrate audio_bitrate bit_rate video_bitrate
        adjust_exposure boost_saturation highlight_threshold brightness contrast saturation hue
        colormap hdr transfer_function exr_export side_by_side depth_model include_raw_depths
        enhance_model expansion_model acceleration rendering_speed run_fast draft mode task
        retake_mode video_mode thinking_level enable_thinking google_search max_frames
        scale weight upscale_factor interpolate_frames compression output_compression
        safety_tolerance safety_checker enable_safety_checker disable_safety_checker watermark
        aspect_ratio character_orientation camera_motion motion_strength motion_bucket_id
        auto_controls autoprompt enable_prompt_expansion prompt_expansion prompt_extend
        prompt_upsampling prompt_optimizer enhance_prompt rewrite_prompt loop apply_mask
        audio_setting keep_audio keep_original_sound replace_audio
        image images image_url image_urls input_image input_images input_image_url
        input_image_urls input_face_images input_reference reference_image reference_images
        reference_image_url reference_image_urls image_style_references style_references
        character_references start_image start_image_url end_image end_image_url tail_image
        tail_image_url first_frame_image first_frame_image_url last_frame_image
        last_frame_image_url frontal_image frontal_image_url mask mask_image mask_url elements
        loras path url type role name id
    """,
}
_ROLES = {name: role for role, names in _NAMES.items() for name in names.split()}


@lru_cache(maxsize=4096)
def role_of(name: str) -> Role | None:
    """Return the role of a parameter, or None if its name is not in the table.

    Of a field in an object (``settings.num_images``), only the last part counts.
    """
    return _ROLES.get(snake_case(name.rpartition(".")[2]))


def snake_case(name: str) -> str:
    """Spell a name as most are: lower case, with underscores."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|-", "_", name).lower()
