use std::{error::Error, time::Duration};

use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};
use tower_keep::testing::simulator::{Report, Slice};

const SIZE: (u32, u32) = (880, 300);
/// Told apart by those who are color-blind, and on paper.
const COLORS: [RGBColor; 4] = [
    RGBColor(207, 63, 63),
    RGBColor(47, 111, 184),
    RGBColor(47, 158, 99),
    RGBColor(227, 146, 40),
];
const GREY: RGBColor = RGBColor(91, 101, 114);
const LIGHT_GREY: RGBColor = RGBColor(230, 234, 238);
const FONT: &str = "sans-serif";

/// A chart of some numbers over time.
#[derive(Debug)]
pub struct Chart {
    pub title: &'static str,
    pub y_title: &'static str,
    pub y_max: f64,
    pub lines: Vec<Line>,
    /// The corner of the legend, where no line is.
    pub legend: SeriesLabelPosition,
    /// Moments that are marked, with their names.
    pub marks: Vec<(Duration, &'static str)>,
}

/// A line with its name, and its points by seconds.
#[derive(Debug)]
pub struct Line {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

impl Line {
    /// Makes a line of a number of each slice.
    pub fn new(name: impl Into<String>, report: &Report, number: impl Fn(&Slice) -> f64) -> Self {
        let points = report.slices().iter();
        Line {
            name: name.into(),
            points: points
                .map(|slice| (slice.start.as_secs_f64(), number(slice)))
                .collect(),
        }
    }
}

impl Chart {
    /// Draws the chart.
    ///
    /// # Errors
    ///
    /// Returns the error of the backend, which has none when it draws into memory.
    pub fn to_svg(&self) -> Result<String, Box<dyn Error>> {
        let mut svg = String::new();
        self.draw(SVGBackend::with_string(&mut svg, SIZE).into_drawing_area())?;
        Ok(svg)
    }

    fn draw(&self, area: DrawingArea<SVGBackend<'_>, Shift>) -> Result<(), Box<dyn Error>> {
        // White, also where the page around it is dark.
        area.fill(&WHITE)?;
        let all = self.lines.iter().flat_map(|line| &line.points);
        let end = all.map(|point| point.0).fold(0.0, f64::max);
        let mut chart = ChartBuilder::on(&area)
            .caption(self.title, (FONT, 16).into_font().color(&BLACK))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(56)
            .build_cartesian_2d(0.0..end, 0.0..self.y_max)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(LIGHT_GREY)
            .light_line_style(TRANSPARENT)
            .axis_style(GREY)
            .label_style((FONT, 13).into_font().color(&GREY))
            .x_labels(10)
            .y_labels(5)
            .x_label_formatter(&|seconds| format!("{seconds:.0} s"))
            .y_label_formatter(&|value| format!("{value:.0}"))
            .y_desc(self.y_title)
            .draw()?;
        let name = (FONT, 13).into_font().color(&GREY);
        let name = name.pos(Pos::new(HPos::Left, VPos::Top));
        for (at, text) in &self.marks {
            let at = at.as_secs_f64();
            let line = PathElement::new(vec![(at, 0.0), (at, self.y_max)], GREY.mix(0.5));
            chart.draw_series([line])?;
            let above = self.y_max * 0.99;
            chart.draw_series([
                EmptyElement::at((at, above)) + Text::new(*text, (5, 0), name.clone())
            ])?;
        }
        for (line, color) in self.lines.iter().zip(COLORS) {
            let style = color.stroke_width(2);
            chart
                .draw_series(LineSeries::new(line.points.iter().copied(), style))?
                .label(&line.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
        }
        chart
            .configure_series_labels()
            .position(self.legend.clone())
            .label_font((FONT, 13).into_font().color(&BLACK))
            .background_style(WHITE.mix(0.85))
            .border_style(LIGHT_GREY)
            .draw()?;
        area.present()?;
        Ok(())
    }
}
