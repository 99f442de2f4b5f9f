//! Audio data.

use crate::{Error, Result};

/// A piece of audio.
///
/// ```
/// use stormfire_loggers::Audio;
/// let tone: Vec<f32> = (0..8000).map(|frame| (frame as f32 / 8000.0 * 440.0 * std::f32::consts::TAU).sin()).collect();
/// let audio = Audio::new(8000, 1, tone)?;
/// assert_eq!((audio.frames(), audio.to_wav()?.len()), (8000, 44 + 16_000));
/// # Ok::<(), stormfire_loggers::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Audio {
    sample_rate: u32,
    channels: u16,
    samples: Vec<f32>,
}

impl Audio {
    /// Audio with `sample_rate` frames per second. `samples` are in -1..=1, with the channels of a frame interleaved
    /// (`[frames, channels]`).
    ///
    /// # Errors
    /// [`Error::InvalidMedia`] if the rate or the number of channels is 0, or the last frame is incomplete.
    pub fn new(sample_rate: u32, channels: u16, samples: Vec<f32>) -> Result<Self> {
        check(sample_rate, channels, samples.len())?;
        Ok(Self { sample_rate, channels, samples })
    }

    /// As [`Audio::new`], from consecutive channels (`[channels, frames]`), the usual order in tensors.
    ///
    /// # Errors
    /// As [`Audio::new`].
    pub fn from_planes(sample_rate: u32, channels: u16, samples: &[f32]) -> Result<Self> {
        check(sample_rate, channels, samples.len())?;
        let frames = samples.len() / usize::from(channels);
        let samples = (0..frames).flat_map(|frame| samples.iter().skip(frame).step_by(frames).copied()).collect();
        Ok(Self { sample_rate, channels, samples })
    }

    /// Frames per second.
    pub const fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// Samples per frame.
    pub const fn channels(&self) -> u16 {
        self.channels
    }

    /// Number of frames.
    pub fn frames(&self) -> usize {
        self.samples.len() / usize::from(self.channels)
    }

    /// The samples, in -1..=1, frame after frame.
    pub fn samples(&self) -> &[f32] {
        &self.samples
    }

    /// The audio as a WAV file with 16 bits per sample. Samples outside -1..=1 are clamped, NaN becomes 0, and a sample
    /// is rounded towards 0, as in `torch.utils.tensorboard`.
    ///
    /// # Errors
    /// [`Error::InvalidMedia`] if the file would be larger than the format allows (4 GiB).
    pub fn to_wav(&self) -> Result<Vec<u8>> {
        const BYTES: u16 = 2;
        let frame = self.channels.checked_mul(BYTES);
        let length = u32::try_from(self.samples.len() * usize::from(BYTES)).ok().filter(|length| *length < u32::MAX - 36);
        let second = frame.and_then(|frame| self.sample_rate.checked_mul(frame.into()));
        let (Some(frame), Some(length), Some(second)) = (frame, length, second) else {
            return Err(invalid(format!("{} samples do not fit into a WAV file", self.samples.len())));
        };
        let mut wav = Vec::with_capacity(44 + length as usize);
        wav.extend(b"RIFF");
        wav.extend((36 + length).to_le_bytes());
        wav.extend(b"WAVEfmt ");
        wav.extend(16_u32.to_le_bytes());
        // PCM.
        wav.extend(1_u16.to_le_bytes());
        wav.extend(self.channels.to_le_bytes());
        wav.extend(self.sample_rate.to_le_bytes());
        wav.extend(second.to_le_bytes());
        wav.extend(frame.to_le_bytes());
        wav.extend((BYTES * 8).to_le_bytes());
        wav.extend(b"data");
        wav.extend(length.to_le_bytes());
        for sample in &self.samples {
            // A cast from float truncates the fraction and maps NaN to 0.
            wav.extend(((sample.clamp(-1.0, 1.0) * f32::from(i16::MAX)) as i16).to_le_bytes());
        }
        Ok(wav)
    }
}

fn check(sample_rate: u32, channels: u16, samples: usize) -> Result<()> {
    if sample_rate == 0 {
        Err(invalid("the sample rate is 0".to_owned()))
    } else if channels == 0 {
        Err(invalid("there are no channels".to_owned()))
    } else if !samples.is_multiple_of(usize::from(channels)) {
        Err(invalid(format!("{samples} samples cannot be divided into frames of {channels} channels")))
    } else {
        Ok(())
    }
}

fn invalid(reason: String) -> Error {
    Error::InvalidMedia { what: "audio", reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_sound_is_refused() {
        let text = |result: Result<Audio>| result.unwrap_err().to_string();
        assert_eq!(text(Audio::new(8000, 2, vec![0.0; 3])), "invalid audio: 3 samples cannot be divided into frames of 2 channels");
        assert_eq!(text(Audio::from_planes(0, 1, &[])), "invalid audio: the sample rate is 0");
        assert_eq!(text(Audio::new(1, 0, vec![])), "invalid audio: there are no channels");
    }

    #[test]
    fn a_wav_file_is_that_of_pythons_wave_module() {
        let audio = Audio::from_planes(8000, 2, &[0.0, 0.5, 2.0, -1.0, f32::NAN, -0.25]).unwrap();
        assert_eq!(audio.samples()[..3], [0.0, -1.0, 0.5]);
        let mut expected = b"RIFF\x30\0\0\0WAVEfmt \x10\0\0\0\x01\0\x02\0\x40\x1f\0\0\0\x7d\0\0\x04\0\x10\0data\x0c\0\0\0".to_vec();
        for sample in [0, -32767, 16383, 0, 32767, -8191_i16] {
            expected.extend(sample.to_le_bytes());
        }
        assert_eq!(audio.to_wav().unwrap(), expected);
    }
}
